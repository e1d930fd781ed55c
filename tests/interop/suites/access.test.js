//! Access rules of our server, by the payload that clients show.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'

import { Client } from '../harness/client.js'
import { RustClient } from '../harness/rust-client.js'
import { scratch, Server } from '../harness/server.js'

const RULES = `
[[access]]
stores = "auth-*"
payload.authToken = "let-me-in"
allow = "read-write"

[[access]]
stores = "auth-*"
payload.authToken = "only-looking"
allow = "read"
`

const WRITER = { authToken: 'let-me-in' }
const READER = { authToken: 'only-looking' }
const STRANGER = { authToken: 'wrong' }

for (const transport of ['ws', 'http']) {
  suite(`access rules, LiveStore clients over ${transport}`, () => {
    test('a wrong payload is refused, and the right one brings the same data in', async (t) => {
      const server = await serverWithRules(t)
      const options = { server, transport, storeId: 'auth-list', dataDir: scratch(t) }
      let a = await Client.open(t, 'a', { ...options, payload: STRANGER })
      await a.add('written-early')
      await server.says(/access refused.*auth-list/)
      assert.equal((await a.status()).unconfirmed, 1)
      assert.deepEqual(await server.log('auth-list', WRITER), [])
      await a.close()
      a = await Client.open(t, 'a', { ...options, payload: WRITER })
      await a.confirmed()
      assert.deepEqual((await server.log('auth-list', WRITER)).map(({ args }) => args.id), ['written-early'])
    })

    test('who may only read gets everything and changes nothing', async (t) => {
      const server = await serverWithRules(t)
      const options = { server, transport, storeId: 'auth-news' }
      const writer = await Client.open(t, 'writer', { ...options, payload: WRITER })
      const reader = await Client.open(t, 'reader', { ...options, payload: READER })
      await writer.commitConfirmed(['TodoAdded', { id: 'news', text: 'news' }])
      await reader.reaches(1)
      await reader.add('graffiti')
      await server.says(/access refused.*auth-news/)
      await writer.commitConfirmed(['TodoAdded', { id: 'more', text: 'more news' }])
      await reader.reaches(2)
      assert.deepEqual((await writer.todos()).map(({ id }) => id), ['news', 'more'])
      assert.equal((await reader.status()).unconfirmed, 1)
    })
  })
}

suite('access rules, Rust clients', () => {
  for (const scheme of ['ws', 'livestore+ws', 'livestore+http']) {
    test(`a wrong payload is refused over ${scheme}`, async (t) => {
      const server = await serverWithRules(t)
      const options = { server, scheme, storeId: 'auth-list' }
      const stranger = new RustClient(t, { ...options, payload: STRANGER })
      assert.match(await stranger.attempt('add', 'not for everybody'), /^saved; will sync later: not authorized/m)
      await server.says(/access refused.*auth-list/)
      assert.deepEqual(await server.log('auth-list', WRITER), [])
      await new RustClient(t, { ...options, payload: WRITER }).run('add', 'for those who may')
    })
  }
})

function serverWithRules(t) {
  const config = join(scratch(t), 'livestore.toml')
  writeFileSync(config, RULES)
  return Server.start(t, 'ours', ['--config', config])
}
