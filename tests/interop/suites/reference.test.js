//! Our client on LiveStore's own server, alone and together with LiveStore's clients.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { Client } from '../harness/client.js'
import { RustClient } from '../harness/rust-client.js'
import { Server } from '../harness/server.js'

for (const transport of ['ws', 'http']) {
  const scheme = `livestore+${transport}`

  suite(`our client on LiveStore's server over ${scheme}`, () => {
    test('two Rust clients converge both ways, after offline work too', async (t) => {
      const server = await Server.start(t, 'reference')
      const [a, b] = rustClients(t, { server, scheme, storeId: 'two' })
      await a.run('add', 'before')
      await b.sync()
      const [{ id }] = b.todos()
      await b.run('done', id)
      await a.offline('edit', id, 'edited by a')
      await a.offline('add', 'from a')
      await b.offline('edit', id, 'edited by b')
      await b.offline('add', 'from b')
      await a.sync()
      await b.sync()
      await a.sync()
      assert.deepEqual(a.todos(), b.todos())
      assert.deepEqual(a.todos().map(({ text, is_done }) => [text, is_done]), [['edited by b', 1], ['from a', 0], ['from b', 0]])
      assert.equal((await server.log('two')).length, 6, 'nothing was pushed twice')
    })

    test('a Rust client and a LiveStore client end with equal tables, after an outage too', async (t) => {
      const server = await Server.start(t, 'reference')
      const options = { server, storeId: 'mixed' }
      const rust = new RustClient(t, { ...options, scheme })
      // Over WebSocket: over HTTP a 0.4.0 client does not survive an outage (suites/outages.test.js).
      const js = await Client.open(t, 'js', options)
      await rust.run('add', 'from Rust')
      await js.reaches(1)
      const [{ id }] = await js.todos()
      await js.commitConfirmed(['TodoDone', { id }], ['TodoAdded', { id: 'js', text: 'from JavaScript' }])
      await rust.sync()
      assert.deepEqual(await js.todos(), rust.todos())

      await server.stop()
      await rust.offline('edit', 'js', 'edited in Rust')
      await js.commit(['TodoTextEdited', { id, text: 'edited in JavaScript' }])
      await server.start()
      await Promise.all([rust.sync(), js.confirmed()])
      await js.reaches(5)
      await rust.sync()
      assert.deepEqual(rust.todos(), [
        { id, position: 1, text: 'edited in JavaScript', is_done: 1 },
        { id: 'js', position: 3, text: 'edited in Rust', is_done: 0 },
      ])
      assert.deepEqual(await js.todos(), rust.todos())
    })

    test('a live pull goes on after the server was restarted', async (t) => {
      const server = await Server.start(t, 'reference')
      const options = { server, storeId: 'live' }
      const [a, b] = rustClients(t, { ...options, scheme })
      const watch = b.watch()
      await watch.says(/-- connected/)
      await a.run('add', 'first')
      await watch.says(/\+ \[ \] \S+ {2}first/)
      await server.stop()
      await server.start()
      await a.run('add', 'second')
      await watch.says(/\+ \[ \] \S+ {2}second/)
      await watch.stop('SIGTERM')
      assert.deepEqual(a.todos(), b.todos())
    })

    test('5,000 events and one of 890 kB reach a fresh client', async (t) => {
      const server = await Server.start(t, 'reference')
      const options = { server, storeId: 'long' }
      const [a, b] = rustClients(t, { ...options, scheme })
      const large = 'ü'.repeat(445_000)
      await a.addAll([...Array.from({ length: 5000 }, (_, n) => `item ${n}`), large])
      await b.sync()
      const todos = b.todos()
      assert.equal(todos.length, 5001)
      assert.equal(todos.at(-1).text, large)
      assert.deepEqual(todos, a.todos())
      const js = await Client.open(t, 'js', { ...options, transport })
      await js.reaches(5001)
      assert.deepEqual(await js.todos(), todos)
    })

    test('a server that lost its data gets it back', async (t) => {
      const server = await Server.start(t, 'reference')
      const [a, b] = rustClients(t, { server, scheme, storeId: 'lost' })
      await a.run('add', 'from a')
      await b.sync()
      await b.run('add', 'from b')
      await a.sync()
      await server.stop()
      server.wipe()
      await server.start()
      assert.match(await a.sync(), /the server is not the one it was/)
      await b.sync()
      assert.deepEqual(a.todos().map(({ text }) => text), ['from a', 'from b'])
      assert.deepEqual(b.todos(), a.todos())
      assert.equal((await server.log('lost')).length, 2)
    })

    test('a server with another history is followed, and what it lacks is kept', async (t) => {
      const server = await Server.start(t, 'reference')
      const options = { server, scheme, storeId: 'other' }
      const [a, b] = rustClients(t, options)
      await a.run('add', 'of the old history')
      await a.offline('add', 'not sent yet')
      await server.stop()
      server.wipe()
      await server.start()
      await b.run('add', 'of the new history')
      assert.match(await a.sync(), /the server is not the one it was.*archived/)
      await b.sync()
      assert.deepEqual(a.todos().map(({ text }) => text), ['of the new history', 'not sent yet'])
      assert.deepEqual(b.todos(), a.todos())
    })

    test('a wrong payload is refused, and nothing is lost by it', async (t) => {
      const server = await Server.start(t, 'reference')
      const options = { server, scheme, storeId: 'auth-list' }
      const payload = { authToken: 'let-me-in' }
      const stranger = new RustClient(t, { ...options, payload: { authToken: 'wrong' } })
      assert.match(await stranger.attempt('add', 'not for everybody'), /^saved; will sync later: .*Invalid auth token/m)
      assert.equal(stranger.todos().length, 1)
      assert.deepEqual(await server.log('auth-list', payload), [])
      const [a, b] = rustClients(t, { ...options, payload })
      await a.run('add', 'for those who may')
      await b.sync()
      assert.deepEqual(a.todos(), b.todos())
    })
  })
}

function rustClients(t, options) {
  return [new RustClient(t, options), new RustClient(t, options)]
}
