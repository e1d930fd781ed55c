// The store, and how far it is in sync.

import { makePersistedAdapter } from '@livestore/adapter-web'
import LiveStoreSharedWorker from '@livestore/adapter-web/shared-worker?sharedworker'
import { createStorePromise, makeShutdownDeferred, StoreInternalsSymbol } from '@livestore/livestore'
import { Cause, Effect, Exit, Schedule, Stream } from 'effect'

import LiveStoreWorker from './livestore.worker.ts?worker'
import { schema } from './schema.ts'

const shutdownDeferred = await Effect.runPromise(makeShutdownDeferred)

/** Opens the list that `?store=` names. */
export const openStore = () =>
  createStorePromise({
    schema,
    storeId: new URLSearchParams(location.search).get('store') ?? 'todo',
    adapter: makePersistedAdapter({
      storage: { type: 'opfs' },
      worker: LiveStoreWorker,
      sharedWorker: LiveStoreSharedWorker,
      // The fast path of LiveStore 0.4 does not start from what is stored after the worker has reset that.
      experimental: { disableFastPath: true },
    }),
    shutdownDeferred,
    // They are a package of their own.
    disableDevtools: true,
  })

export type TodoStore = Awaited<ReturnType<typeof openStore>>

/** Resolves if the store ends by itself, with the reason if that was a failure. */
export const ended = Effect.runPromiseExit(shutdownDeferred)

export type SyncStatus = {
  isConnected: boolean
  /** Changes that are in this tab only, for a moment. */
  unsaved: number
  /** Changes that are saved, and not confirmed by the server yet. */
  unsent: number
}

/** Calls `show` with what is now, and whenever that changes, until the store ends. */
export function watchSync(store: TodoStore, show: (status: SyncStatus) => void): Promise<void> {
  // LiveStore 0.4's public status counts what has not reached the worker, not what has not reached the server.
  const worker = store[StoreInternalsSymbol].clientSession.leaderThread.syncState
  return Stream.zipLatestAll(
    ofEveryWorker(store.networkStatus.changes),
    store.syncStatusStream(),
    ofEveryWorker(worker.changes),
  ).pipe(
    Stream.map(([network, { pendingCount }, { pending }]) => ({
      isConnected: network.isConnected,
      unsaved: pendingCount,
      unsent: pending.length,
    })),
    Stream.runForEach((status) => Effect.sync(() => show(status))),
    Effect.runPromiseExit,
  ).then((exit) => {
    // A store that ends interrupts this, perhaps before `ended` resolves, which tells why.
    if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) throw Cause.squash(exit.cause)
  })
}

/** What comes from the worker ends with the tab that has started it; another tab starts the next one. */
function ofEveryWorker<A, E>(stream: Stream.Stream<A, E>): Stream.Stream<A, E> {
  return Stream.repeat(stream, Schedule.spaced('100 millis'))
}
