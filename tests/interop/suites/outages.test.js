//! LiveStore clients through the restarts of our server and of their own.
//!
//! A 0.4.0 client over WebSocket comes back by itself. Over HTTP it never pulls again once a pull was lost, so there the
//! test does what a user of such a client has to do: it closes the client and opens it again, with its data.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { Client, converged } from '../harness/client.js'
import { scratch, Server } from '../harness/server.js'
import { eventually } from '../harness/wait.js'

for (const transport of ['ws', 'http']) {
  suite(`outages, LiveStore clients over ${transport}`, () => {
    test('what was committed while the server was down is rebased when it is back', async (t) => {
      const { server, open } = await setUp(t, 'offline')
      let [a, b] = await Promise.all([open('a'), open('b')])
      await a.commitConfirmed(['TodoAdded', { id: 'before', text: 'before' }])
      await b.reaches(1)
      await server.stop()
      await a.commit(['TodoAdded', { id: 'from-a', text: 'a' }], ['TodoTextEdited', { id: 'before', text: 'edited by a' }])
      await b.commit(['TodoAdded', { id: 'from-b', text: 'b' }], ['TodoTextEdited', { id: 'before', text: 'edited by b' }])
      assert.equal((await a.status()).unconfirmed, 2)
      assert.equal((await b.status()).unconfirmed, 2)
      ;[a, b] = await bridge([a, b], open, () => server.start())
      await Promise.all([a.reaches(5), b.reaches(5)])
      await converged([a, b], ['before', 'from-a', 'from-b'])
      assert.equal((await server.log('offline')).length, 5, 'nothing was pushed twice')
    })

    test('a client that restarts goes on from its data', async (t) => {
      const { server, open } = await setUp(t, 'restart')
      let a = await open('a')
      const b = await open('b')
      await a.commitConfirmed(['TodoAdded', { id: 'one', text: 'one' }], ['TodoAdded', { id: 'two', text: 'two' }])
      await a.close()
      await b.reaches(2)
      await b.commitConfirmed(['TodoAdded', { id: 'three', text: 'three' }])
      a = await open('a')
      await a.reaches(3)
      await a.commitConfirmed(['TodoDone', { id: 'three' }])
      await a.kill()
      a = await open('a')
      await b.reaches(4)
      await b.commitConfirmed(['TodoDone', { id: 'one' }])
      await a.reaches(5)
      await converged([a, b], ['one', 'two', 'three'])
    })

    for (const signal of ['SIGTERM', 'SIGKILL']) {
      test(`the server gets ${signal} while a client pushes, and is started again`, async (t) => {
        const { server, open } = await setUp(t, 'middle')
        let [a, b] = await Promise.all([open('a'), open('b')])
        const ids = []
        const add = () => a.add(ids[ids.push(`item-${ids.length}`) - 1])
        let isDown = false
        const writing = (async () => {
          while (!isDown) await add()
        })()
        await eventually('the server had some events', async () => (await server.log('middle')).length >= 20)
        await server.stop(signal)
        isDown = true
        await writing
        await add()
        assert.notEqual((await a.status()).unconfirmed, 0, 'the server went down in the middle')
        ;[a, b] = await bridge([a, b], open, () => server.start())
        await a.confirmed()
        await b.reaches(ids.length)
        const todos = await converged([a, b], ids)
        assert.deepEqual(todos.map(({ id }) => id), ids, 'in the order in which they were committed')
        assert.equal((await server.log('middle')).length, ids.length, 'nothing was pushed twice')
      })
    }

    test('a server that lost its data is noticed', async (t) => {
      const { server, open } = await setUp(t, 'wiped')
      const a = await open('a')
      await a.commitConfirmed(['TodoAdded', { id: 'lost', text: 'lost' }])
      await server.stop()
      server.wipe()
      await server.start()
      // Over HTTP the push is what notices: the pull may have ended with the outage.
      await a.add('never-sent')
      await beginsAnew(a, { server, open }, 'wiped', ['new'])
    })

    test('a server with an older copy of its data is noticed', async (t) => {
      const { server, open } = await setUp(t, 'older')
      let a = await open('a')
      await a.commitConfirmed(['TodoAdded', { id: 'kept', text: 'kept' }])
      await server.stop()
      const restore = server.copyData()
      // The copy has the same backend id: what is wrong is that the client's cursor is beyond its head.
      ;[a] = await bridge([a], open, () => server.start())
      await a.commitConfirmed(['TodoAdded', { id: 'lost', text: 'lost' }])
      await server.stop()
      restore()
      ;[a] = await bridge([a], open, () => server.start())
      await beginsAnew(a, { server, open }, 'older', ['kept', 'new'])
    })
  })

  /** A server, and what opens clients that keep their data from one time to the next. */
  async function setUp(t, storeId) {
    const server = await Server.start(t)
    const dirs = {}
    const open = (name) => Client.open(t, name, { server, transport, storeId, dataDir: (dirs[name] ??= scratch(t)) })
    return { server, open }
  }

  /** Brings clients over an outage that `end` ends. */
  async function bridge(clients, open, end) {
    if (transport === 'ws') {
      await end()
      return clients
    }
    await Promise.all(clients.map((client) => client.close()))
    await end()
    return Promise.all(clients.map(({ name }) => open(name)))
  }
}

/**
 * Waits until `client` ends because the server has another history. By default LiveStore has removed the client's data then,
 * and goes on with that history, which has the items `ids` at the end, the last one `new`.
 */
async function beginsAnew(client, { server, open }, storeId, ids) {
  const ended = await client.ended()
  assert.equal(ended._tag, 'Success', JSON.stringify(ended))
  assert.equal(ended.value.reason, 'backend-id-mismatch')
  await client.kill()
  const again = await open(client.name)
  await again.commitConfirmed(['TodoAdded', { id: 'new', text: 'new' }])
  await converged([again], ids)
  assert.deepEqual((await server.log(storeId)).map(({ args }) => args.id), ids)
}
