//! What LiveStore clients see of each other through our server, while everything works.

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

    test('commits at the same moment are rebased', async (t) => {
      const server = await Server.start(t)
      const [a, b] = await both(t, { server, transport, storeId: 'race' })
      for (let round = 0; round < 5; round++) {
        // The next round waits for this one: 0.4.0 clients number commits wrongly that are made during a rebase.
        await Promise.all([a.add(`a${round}`), b.add(`b${round}`)])
        await Promise.all([a.confirmed(), b.confirmed()])
        await Promise.all([a.reaches(2 * round + 2), b.reaches(2 * round + 2)])
      }
      await converged([a, b], ['a0', 'b0', 'a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'a4', 'b4'])
    })

    test('a live pull brings what others commit, one by one and many at once', async (t) => {
      const server = await Server.start(t)
      const [a, b] = await both(t, { server, transport, storeId: 'live' })
      for (let n = 1; n <= 5; n++) {
        await a.commitConfirmed(['TodoAdded', { id: `item-${n}`, text: 'one' }])
        await b.reaches(n)
      }
      const many = Array.from({ length: 200 }, (_, n) => ['TodoAdded', { id: `many-${n}`, text: 'many' }])
      await a.commitConfirmed(...many)
      await b.reaches(205)
      assert.equal((await b.todos()).length, 205)
    })

    test('5,000 events reach a fresh client', async (t) => {
      const server = await Server.start(t)
      const options = { server, transport, storeId: 'long' }
      await server.seed('long', 5000)
      const client = await Client.open(t, 'a', options)
      await client.reaches(5000)
      assert.deepEqual(
        await client.todos(),
        Array.from({ length: 5000 }, (_, n) => ({ id: `seed-${n + 1}`, position: n + 1, text: 'seeded', is_done: 0 })),
      )
      await client.commitConfirmed(['TodoAdded', { id: 'after', text: 'after all that' }])
      assert.equal((await server.log('long')).length, 5001)
    })

    test('an event of 890 kB arrives whole', async (t) => {
      const server = await Server.start(t)
      const options = { server, transport, storeId: 'large' }
      const [a, b] = await both(t, options)
      const text = 'ü'.repeat(445_000)
      await a.commitConfirmed(['TodoAdded', { id: 'large', text }])
      await b.reaches(1)
      await b.commitConfirmed(['TodoAdded', { id: 'small', text: 'after it' }])
      await a.reaches(2)
      const fresh = await Client.open(t, 'c', options)
      await fresh.reaches(2)
      const todos = await converged([a, b, fresh], ['large', 'small'])
      assert.equal(todos[0].text, text)
    })

    test('the largest event that a client sends arrives whole', async (t) => {
      const server = await Server.start(t)
      const options = { server, transport, storeId: 'largest' }
      const [a, b] = await both(t, options)
      await a.commitConfirmed(['TodoAdded', { id: 'first', text: '' }])
      const [first] = await server.log('largest')
      // The client counts the bytes of this, and sends nothing that has more than 900,000.
      const push = {
        storeId: 'largest',
        batch: [{ ...first, seqNum: 2, parentSeqNum: 1 }],
        backendId: { _id: 'Option', _tag: 'Some', value: await server.backendId('largest') },
      }
      const text = 'x'.repeat(900_000 - JSON.stringify(push).length)
      await a.commitConfirmed(['TodoAdded', { id: 'large', text }])
      await b.reaches(2)
      const fresh = await Client.open(t, 'c', options)
      await fresh.reaches(2)
      const todos = await converged([a, b, fresh], ['first', 'large'])
      assert.equal(todos[1].text, text)
    })

    test('an event that no client of this kind would send arrives whole', async (t) => {
      const server = await Server.start(t)
      const options = { server, transport, storeId: 'larger' }
      const live = await Client.open(t, 'a', options)
      // The largest that the server takes from anybody: its items have more than the 900,000 bytes of LiveStore's own server.
      const event = { name: 'v1.TodoAdded', seqNum: 1, parentSeqNum: 0, clientId: 'other', sessionId: 'static' }
      const around = 200 + 2 * (event.name.length + event.clientId.length + event.sessionId.length)
      const args = (text) => ({ id: 'larger', text })
      const text = 'x'.repeat(964_000 - around - JSON.stringify(args('')).length)
      await server.push('larger', [{ ...event, args: args(text) }])
      await live.reaches(1)
      await live.commitConfirmed(['TodoAdded', { id: 'after', text: 'after it' }])
      const fresh = await Client.open(t, 'b', options)
      await fresh.reaches(2)
      const todos = await converged([live, fresh], ['larger', 'after'])
      assert.equal(todos[0].text, text)
    })

    test('client-only events stay with their client', async (t) => {
      const server = await Server.start(t)
      const [a, b] = await both(t, { server, transport, storeId: 'selection' })
      await a.commitConfirmed(['TodoAdded', { id: 'one', text: 'one' }])
      await a.commit(['TodoSelected', { id: 'one' }])
      await a.commitConfirmed(['TodoAdded', { id: 'two', text: 'two' }])
      await b.reaches(2)
      await b.commitConfirmed(['TodoAdded', { id: 'three', text: 'three' }])
      await a.reaches(3)
      await converged([a, b], ['one', 'two', 'three'])
      assert.deepEqual(await a.selections(), [{ id: 'one' }])
      assert.deepEqual(await b.selections(), [])
      const names = (await server.log('selection')).map(({ name }) => name)
      assert.deepEqual(names, ['v1.TodoAdded', 'v1.TodoAdded', 'v1.TodoAdded'])
    })

    test('stores know nothing of each other', async (t) => {
      const server = await Server.start(t)
      const [home, work] = await Promise.all([
        Client.open(t, 'home', { server, transport, storeId: 'home' }),
        Client.open(t, 'work', { server, transport, storeId: 'work' }),
      ])
      await home.commitConfirmed(['TodoAdded', { id: 'milk', text: 'buy milk' }])
      await work.commitConfirmed(['TodoAdded', { id: 'report', text: 'write the report' }])
      // One more each, so that what was sent to the wrong one would have come by now.
      await home.commitConfirmed(['TodoDone', { id: 'milk' }])
      await work.commitConfirmed(['TodoDone', { id: 'report' }])
      assert.deepEqual((await home.todos()).map(({ id }) => id), ['milk'])
      assert.deepEqual((await work.todos()).map(({ id }) => id), ['report'])
      assert.equal((await server.log('home')).length, 2)
      assert.equal((await server.log('work')).length, 2)
    })
  })
}

function both(t, options) {
  return Promise.all([Client.open(t, 'a', options), Client.open(t, 'b', options)])
}
