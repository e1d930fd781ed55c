// The worker that keeps the eventlog and syncs it. There is one for all tabs of a browser profile.

import { makeWorker } from '@livestore/adapter-web/worker'
import { makeWsSync } from '@livestore/sync-cf/client'

import { schema } from './schema.ts'

const url = import.meta.env.VITE_SYNC_URL ?? 'ws://127.0.0.1:8787'

makeWorker({ schema, sync: { backend: makeWsSync({ url }) } })
