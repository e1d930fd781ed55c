//! The page, with LiveStore's web adapter, on our server.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { RustClient } from '../../../tests/interop/harness/rust-client.js'
import { Server } from '../../../tests/interop/harness/server.js'
import { newProfile, servePage, startBrowser, TodoPage } from './page.js'

test('the to-do page', async (t) => {
  const server = await Server.start(t)
  const [url, browser] = [await servePage(t, server), await startBrowser(t)]
  const open = async (t, storeId) => TodoPage.open(t, await newProfile(t, browser), url, storeId)

  await t.test('two clients see what the other does', async (t) => {
    const [a, b] = [await open(t, 'live'), await open(t, 'live')]
    await a.add('buy milk')
    await b.shows(['[ ] buy milk'])
    await b.add('write letter')
    await a.shows(['[ ] buy milk', '[ ] write letter'])
    await a.done('buy milk')
    await b.shows(['[x] buy milk', '[ ] write letter'])
    await b.edit('write letter', 'write a long letter')
    await a.shows(['[x] buy milk', '[ ] write a long letter'])
    await a.screenshot('live-a')
    await b.screenshot('live-b')
    await a.remove('buy milk')
    await b.shows(['[ ] write a long letter'])
    await inSync(a, b)
    const log = await server.log('live')
    assert.deepEqual(
      log.map(({ name }) => name),
      ['v1.TodoAdded', 'v1.TodoAdded', 'v1.TodoDone', 'v1.TodoTextEdited', 'v1.TodoRemoved'],
    )
    assert.equal(new Set(log.map(({ clientId }) => clientId)).size, 2)
  })

  await t.test('what two clients did while the server was killed meets when it is back', async (t) => {
    const [a, b] = [await open(t, 'killed'), await open(t, 'killed')]
    await a.add('buy milk')
    await b.shows(['[ ] buy milk'])
    await inSync(a, b)

    await server.stop('SIGKILL')
    await a.says(/^Offline/)
    await b.says(/^Offline/)
    await a.add('from a')
    await a.done('buy milk')
    await b.add('from b')
    await b.edit('buy milk', 'buy oat milk')
    await a.says(/^Offline · 2 changes to send$/)
    await b.says(/^Offline · 2 changes to send$/)
    await a.screenshot('killed-offline-a')
    await b.screenshot('killed-offline-b')

    await server.start()
    await inSync(a, b)
    // Whoever came first is first; the other was rebased.
    const added = (await server.log('killed')).filter(({ name }) => name === 'v1.TodoAdded').map(({ args }) => args.text)
    assert.deepEqual([...added].sort(), ['buy milk', 'from a', 'from b'])
    const items = ['[x] buy oat milk', `[ ] ${added[1]}`, `[ ] ${added[2]}`]
    await a.shows(items)
    await b.shows(items)
    await a.screenshot('killed-back-a')
    await b.screenshot('killed-back-b')
    // It goes on as before.
    await b.remove('from a')
    await a.shows(['[x] buy oat milk', '[ ] from b'])
    await inSync(a, b)
  })

  await t.test('what was done offline survives its tab, and is rebased on what others did', async (t) => {
    const profile = await newProfile(t, browser)
    const a = await TodoPage.open(t, profile, url, 'closed')
    await a.add('buy milk')
    await inSync(a)
    await server.stop('SIGKILL')
    await a.says(/^Offline/)
    await a.edit('buy milk', 'buy oat milk')
    await a.add('from a')
    await a.says(/^Offline · 2 changes to send$/)
    await a.close()

    await server.start()
    const other = new RustClient(t, { server, scheme: 'ws', storeId: 'closed' })
    await other.sync()
    await other.run('add', 'meanwhile')

    const again = await TodoPage.open(t, profile, url, 'closed')
    await again.shows(['[ ] buy oat milk', '[ ] meanwhile', '[ ] from a'])
    await inSync(again)
    await again.screenshot('closed-and-rebased')
    await other.sync()
    assert.deepEqual(
      other.todos().map(({ text }) => text),
      ['buy oat milk', 'meanwhile', 'from a'],
    )
  })

  await t.test('two tabs are one client, whichever of them is closed', async (t) => {
    const profile = await newProfile(t, browser)
    const first = await TodoPage.open(t, profile, url, 'tabs')
    const second = await TodoPage.open(t, profile, url, 'tabs')
    await first.add('from the first tab')
    await second.shows(['[ ] from the first tab'])
    await inSync(first, second)

    await server.stop('SIGKILL')
    await second.says(/^Offline/)
    await second.add('from the second tab')
    // They need no server to see each other.
    await first.shows(['[ ] from the first tab', '[ ] from the second tab'])
    // The first one has the worker that syncs; its end hands that to the second.
    await first.close()
    await second.add('alone')

    await server.start()
    const items = ['[ ] from the first tab', '[ ] from the second tab', '[ ] alone']
    const elsewhere = await open(t, 'tabs')
    await elsewhere.shows(items)
    await second.shows(items)
    await inSync(second, elsewhere)
    await second.screenshot('tabs')
    const clients = (await server.log('tabs')).map(({ clientId }) => clientId)
    assert.equal(clients.length, 3)
    assert.equal(new Set(clients).size, 1)
  })

  await t.test('the page and the todo command share a list', async (t) => {
    const page = await open(t, 'shared')
    const command = new RustClient(t, { server, scheme: 'ws', storeId: 'shared' })
    await command.run('add', 'from the command line')
    await page.shows(['[ ] from the command line'])
    await page.add('from the page')
    await page.done('from the command line')
    await inSync(page)
    await command.sync()
    const [one, two] = command.todos()
    assert.deepEqual([one.text, one.is_done], ['from the command line', 1])
    assert.deepEqual([two.text, two.is_done], ['from the page', 0])
    // The id that the page gave is one that people can type.
    await command.run('edit', two.id.slice(0, 5), 'from both')
    await page.shows(['[x] from the command line', '[ ] from both'])
    await page.screenshot('shared')
    // A reload starts from what the browser has stored.
    await page.reload()
    await page.shows(['[x] from the command line', '[ ] from both'])
    await inSync(page)
  })

  await t.test('a page takes over what a replaced server has', async (t) => {
    const page = await open(t, 'replaced')
    await page.add('before')
    await inSync(page)
    await server.stop('SIGKILL')
    await page.says(/^Offline/)
    server.wipe()
    const isReloaded = page.reloads()
    await server.start()
    const command = new RustClient(t, { server, scheme: 'ws', storeId: 'replaced' })
    await command.run('add', 'after')
    await isReloaded
    await page.shows(['[ ] after'])
    await inSync(page)
    await page.add('as always')
    await inSync(page)
    await command.sync()
    assert.deepEqual(
      command.todos().map(({ text }) => text),
      ['after', 'as always'],
    )
  })
})

/** Waits until the server has everything that these pages did. */
async function inSync(...pages) {
  for (const page of pages) await page.says(/^Connected · in sync$/)
}
