//! A LiveStore client in a process of its own, driven by its parent over the IPC channel.
//!
//! ```text
//! parent                        client
//!   {id, call, args} ────────▶    one of `calls`
//!   ◀──────── {id, result} or {id, error}
//!   ◀──────── {ended}             the store shut down by itself, and why
//! ```
//!
//! The parent's death closes the channel, which ends the process.

import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise, makeShutdownDeferred } from '@livestore/livestore'
import { makeHttpSync, makeWsSync } from '@livestore/sync-cf/client'
import { Effect } from 'effect'

import { events, schema } from './schema.js'

let store

const calls = {
  async open({ url, transport, storeId, clientId, dataDir, payload }) {
    const backend = {
      ws: () => makeWsSync({ url }),
      // Tests are not to wait for the next poll longer than for anything else.
      http: () => makeHttpSync({ url, livePull: { pollInterval: 100 } }),
    }[transport]()
    const shutdownDeferred = await Effect.runPromise(makeShutdownDeferred)
    store = await createStorePromise({
      schema,
      storeId,
      adapter: makeAdapter({
        clientId,
        storage: dataDir ? { type: 'fs', baseDirectory: dataDir } : { type: 'in-memory' },
        sync: { backend },
      }),
      syncPayload: payload,
      disableDevtools: true,
      shutdownDeferred,
    })
    Effect.runPromiseExit(shutdownDeferred).then((ended) => process.send({ ended }))
  },

  /** Commits events, given as `[kind, args]`, in one transaction. */
  commit: (...batch) => store.commit(...batch.map(([kind, args]) => events[kind](args))),

  todos: () => rows('SELECT id, position, text, is_done FROM todos ORDER BY position'),

  selections: () => rows('SELECT id FROM selections ORDER BY id'),

  /** How far the session and its leader are. `unconfirmed` counts the synced events that the backend has not confirmed. */
  async status() {
    const { session, leader } = await store._dev.syncStates()
    const unconfirmed = leader.pending.filter((event) => event.seqNum.client === 0).length
    return { unconfirmed: unconfirmed + session.pending.length, upstream: leader.upstreamHead.global }
  },

  close: () => store.shutdownPromise(),
}

/** SQLite's rows as plain objects: what goes through the channel and what a test compares. */
function rows(query) {
  return store.query({ query, bindValues: {} }).map((row) => ({ ...row }))
}

process.on('message', async ({ id, call, args }) => {
  try {
    process.send({ id, result: (await calls[call](...args)) ?? null })
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) })
  }
})
process.on('disconnect', () => process.exit())
