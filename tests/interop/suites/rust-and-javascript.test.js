//! Our own client and LiveStore's in one store on our server: other languages and other wires, equal tables.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { Client } from '../harness/client.js'
import { RustClient } from '../harness/rust-client.js'
import { Server } from '../harness/server.js'

suite('a Rust client and LiveStore clients on our server', () => {
  for (const scheme of ['ws', 'http', 'livestore+ws', 'livestore+http']) {
    test(`end with equal tables, the Rust client over ${scheme}`, async (t) => {
      const server = await Server.start(t)
      const options = { server, storeId: 'shared' }
      const rust = new RustClient(t, { ...options, scheme })
      const [ws, http] = await Promise.all([
        Client.open(t, 'js-ws', { ...options, transport: 'ws' }),
        Client.open(t, 'js-http', { ...options, transport: 'http' }),
      ])
      await rust.run('add', 'from Rust, "quoted" – ünïcödé 🦀')
      await ws.reaches(1)
      await ws.commitConfirmed(['TodoAdded', { id: 'from-ws', text: 'from LiveStore over a WebSocket' }])
      await http.reaches(2)
      await http.commitConfirmed(['TodoAdded', { id: 'from-http', text: 'from LiveStore over HTTP' }])
      await rust.sync()
      await rust.run('done', 'from-ws')
      await rust.run('edit', 'from-http', 'edited in Rust')
      const [{ id }] = rust.todos()
      await ws.reaches(5)
      await ws.commitConfirmed(['TodoTextEdited', { id, text: 'edited in JavaScript' }], ['TodoRemoved', { id: 'from-ws' }])
      await http.reaches(7)
      await rust.sync()
      assert.deepEqual(rust.todos(), [
        { id, position: 1, text: 'edited in JavaScript', is_done: 0 },
        { id: 'from-http', position: 3, text: 'edited in Rust', is_done: 0 },
      ])
      assert.deepEqual(await ws.todos(), rust.todos())
      assert.deepEqual(await http.todos(), rust.todos())
    })

    test(`rebase what each did alone, the Rust client over ${scheme}`, async (t) => {
      const server = await Server.start(t)
      const options = { server, storeId: 'alone' }
      const rust = new RustClient(t, { ...options, scheme })
      const js = await Client.open(t, 'js', options)
      await rust.run('add', 'before')
      await js.reaches(1)
      const [{ id }] = rust.todos()
      await server.stop()
      await rust.offline('edit', id, 'edited in Rust')
      await rust.offline('add', 'Rust was offline')
      await js.commit(['TodoTextEdited', { id, text: 'edited in JavaScript' }], ['TodoAdded', { id: 'js', text: 'so was JavaScript' }])
      await server.start()
      await Promise.all([rust.sync(), js.confirmed()])
      await js.reaches(5)
      await rust.sync()
      assert.equal(rust.todos().length, 3)
      assert.deepEqual(await js.todos(), rust.todos())
      assert.equal((await server.log('alone')).length, 5, 'nothing was pushed twice')
    })
  }
})
