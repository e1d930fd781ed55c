//! Runs `worker.js` on miniflare until SIGINT or SIGTERM, which miniflare ends on by itself.
//!
//! `--port 0` lets the system choose one; the line "listening on http://…" on standard output names it, and says that
//! requests are answered from now on. With `--data-dir` the logs are in SQLite files there, and survive; without, they
//! are in a directory of miniflare's own that goes with it.

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { build } from 'esbuild'
import { Miniflare } from 'miniflare'

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '8788' },
    'data-dir': { type: 'string' },
    'auth-token': { type: 'string', default: 'let-me-in' },
  },
})

const bundle = await build({
  entryPoints: [fileURLToPath(new URL('worker.js', import.meta.url))],
  nodePaths: [`${process.env.LIVESTORE_PACKAGES}/node_modules`],
  bundle: true,
  write: false,
  format: 'esm',
  target: 'esnext',
  conditions: ['workerd', 'worker', 'browser'],
  external: ['cloudflare:*', 'node:*'],
  logLevel: 'error',
})

const server = new Miniflare({
  host: '127.0.0.1',
  port: Number(options.port),
  modules: [{ type: 'ESModule', path: 'worker.js', contents: bundle.outputFiles[0].text }],
  compatibilityDate: '2025-11-01',
  compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
  durableObjects: { SYNC_BACKEND: { className: 'SyncBackend', useSQLite: true } },
  durableObjectsPersist: options['data-dir'] ?? false,
  bindings: { AUTH_TOKEN: options['auth-token'] },
})

const url = await server.ready
console.log(`listening on ${url.origin}`)
