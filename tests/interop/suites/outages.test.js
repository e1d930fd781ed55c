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
      const server = await Server.start(t)
      const open = opener(t, { server, transport, storeId: 'offline' })
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
      const server = await Server.start(t)
      const open = opener(t, { server, transport, storeId: 'restart' })
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
        const server = await Server.start(t)
        const open = opener(t, { server, transport, storeId: 'middle' })
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
      const server = await Server.start(t)
      const open = opener(t, { server, transport, storeId: 'wiped' })
      let a = await open('a')
      await a.commitConfirmed(['TodoAdded', { id: 'lost', text: 'lost' }])
      await server.stop()
      server.wipe()
      await server.start()
      // Over HTTP the push is what notices: the pull may have ended with the outage.
      await a.add('never-sent')
      const ended = await a.ended()
      assert.equal(ended._tag, 'Success', JSON.stringify(ended))
      assert.equal(ended.value.reason, 'backend-id-mismatch')
      await a.kill()
      // By default LiveStore has removed the client's data, and goes on with the new history.
      a = await open('a')
      await a.commitConfirmed(['TodoAdded', { id: 'new', text: 'new' }])
      await converged([a], ['new'])
      assert.deepEqual((await server.log('wiped')).map(({ args }) => args.id), ['new'])
    })

    test('a server with an older copy of its data is noticed', async (t) => {
      const server = await Server.start(t)
      const open = opener(t, { server, transport, storeId: 'older' })
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
      const ended = await a.ended()
      assert.equal(ended._tag, 'Success', JSON.stringify(ended))
      assert.equal(ended.value.reason, 'backend-id-mismatch')
      await a.kill()
      a = await open('a')
      await a.commitConfirmed(['TodoAdded', { id: 'new', text: 'new' }])
      await converged([a], ['kept', 'new'])
      assert.deepEqual((await server.log('older')).map(({ args }) => args.id), ['kept', 'new'])
    })
  })

  /** Opens clients that keep their data from one time to the next. */
  function opener(t, options) {
    const dirs = {}
    return (name) => Client.open(t, name, { ...options, dataDir: (dirs[name] ??= scratch(t)) })
  }

  /** Brings clients over an outage that `end` ends. */
  async function bridge(clients, open, end) {
    if (transport === 'ws') {
      await end()
      return clients
    }
    await Promise.all(clients.map((client) => client.close()))
    await end()
    return Promise.all(['a', 'b'].slice(0, clients.length).map(open))
  }
}
