//! What two LiveStore clients see of each other through our server, while everything works.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { Client, converged } from '../harness/client.js'
import { Server } from '../harness/server.js'

for (const transport of ['ws', 'http']) {
  suite(`LiveStore clients over ${transport}`, () => {
    test('two clients converge both ways', async (t) => {
      const server = await Server.start(t)
      const [a, b] = await both(t, { server, transport, storeId: 'list' })
      await a.commitConfirmed(['TodoAdded', { id: 'milk', text: 'buy milk' }])
      await b.reaches(1)
      await b.commitConfirmed(['TodoAdded', { id: 'bread', text: 'buy bread' }], ['TodoDone', { id: 'milk' }])
      await a.reaches(3)
      await a.commitConfirmed(['TodoTextEdited', { id: 'bread', text: 'buy rye bread' }])
      await b.reaches(4)
      assert.deepEqual(await converged([a, b], ['milk', 'bread']), [
        { id: 'milk', position: 1, text: 'buy milk', is_done: 1 },
        { id: 'bread', position: 2, text: 'buy rye bread', is_done: 0 },
      ])
    })
  })
}

async function both(t, options) {
  return Promise.all([Client.open(t, 'a', options), Client.open(t, 'b', options)])
}
