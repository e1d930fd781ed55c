//! The released LiveStore sync server as its documentation sets it up. Runs in workerd.

import { makeDurableObject, makeWorker } from '@livestore/sync-cf/cf-worker'
import { env } from 'cloudflare:workers'

export class SyncBackend extends makeDurableObject() {}

export default makeWorker({
  syncBackendBinding: 'SYNC_BACKEND',
  enableCORS: true,
  validatePayload: (payload, { storeId }) => {
    if (storeId.startsWith('auth-') && payload?.authToken !== env.AUTH_TOKEN) {
      throw new Error('Invalid auth token')
    }
  },
})
