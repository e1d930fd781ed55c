//! The servers that clients are tested against: ours and LiveStore's own.

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Child } from './child.js'
import { eventually } from './wait.js'

/** A directory that ends with the test. */
export function scratch(t) {
  const dir = mkdtempSync(join(tmpdir(), 'livestore-interop-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const kinds = {
  ours: {
    command: (port, dataDir) => [
      process.env.LIVESTORE_BIN,
      ['serve', '--listen', `127.0.0.1:${port}`, '--data-dir', dataDir],
    ],
    says: /serves ws:\/\/(\S+)/,
    health: '/health',
    // It drains first.
    exitOfSigterm: 0,
  },
  reference: {
    command: (port, dataDir) => [
      process.execPath,
      [...process.execArgv, new URL('../reference/serve.js', import.meta.url).pathname, '--port', port, '--data-dir', dataDir],
    ],
    says: /listening on http:\/\/(\S+)/,
    health: '/',
    exitOfSigterm: 143,
    // It takes workerd with it.
    endedBy: 'SIGTERM',
  },
}

export class Server {
  #t
  #kind
  #args
  #dataDir
  #child
  #address

  /** Starts a server of a kind, `ours` or `reference`, with an empty data directory and further arguments. */
  static async start(t, kind = 'ours', args = []) {
    const server = new Server(t, kind, args)
    await server.start()
    return server
  }

  constructor(t, kind, args) {
    this.#t = t
    this.#kind = kinds[kind]
    this.#args = args
    this.#dataDir = join(scratch(t), 'data')
  }

  /** Where clients find it. */
  url(scheme) {
    return `${scheme}://${this.#address}`
  }

  /** Starts it, at the same address as before, with the data that is there. */
  async start() {
    const port = this.#address?.split(':')[1] ?? '0'
    const [command, args] = this.#kind.command(port, this.#dataDir)
    this.#child = new Child(this.#t, 'the server', command, [...args, ...this.#args], {
      endedBy: this.#kind.endedBy,
    })
    const [, address] = await this.#child.says(this.#kind.says)
    this.#address = address
    await eventually('the server was healthy', () =>
      fetch(`${this.url('http')}${this.#kind.health}`).then(({ ok }) => ok, () => false),
    )
  }

  /** Ends it as a service manager does (SIGTERM), or as a power cut does (SIGKILL). */
  async stop(signal = 'SIGTERM') {
    const { code } = await this.#child.stop(signal)
    if (signal === 'SIGTERM' && code !== this.#kind.exitOfSigterm) throw new Error(`the server ended with ${code}:\n${this.#child.output}`)
  }

  /** Waits until its output or its log has something that matches `pattern`. */
  says(pattern) {
    return this.#child.says(pattern)
  }

  /** Removes its data while it is down. */
  wipe() {
    rmSync(this.#dataDir, { recursive: true })
  }

  /** Copies its data while it is down, as a backup does; what is given back puts the copy in the place of the data. */
  copyData() {
    const copy = join(scratch(this.#t), 'copy')
    cpSync(this.#dataDir, copy, { recursive: true })
    return () => {
      this.wipe()
      cpSync(copy, this.#dataDir, { recursive: true })
    }
  }

  /** All events of a store, as LiveStore's HTTP wire gives them. */
  async log(storeId, payload) {
    const items = await this.#pull(storeId, payload)
    return items.flatMap((item) => item.batch.map(({ eventEncoded }) => eventEncoded))
  }

  /** Which incarnation of a store's log it has. */
  async backendId(storeId) {
    const [item] = await this.#pull(storeId)
    return item.backendId
  }

  async #pull(storeId, payload) {
    const frames = await this.#request('Pull', { storeId, payload, cursor: { _tag: 'None' } })
    return frames.flatMap((frame) => frame.values ?? [])
  }

  /** Fills an empty store with `count` items, at once. */
  async seed(storeId, count) {
    const event = (seqNum) => ({
      name: 'v1.TodoAdded',
      args: { id: `seed-${seqNum}`, text: 'seeded' },
      seqNum,
      parentSeqNum: seqNum - 1,
      clientId: 'seed',
      sessionId: 'static',
    })
    for (let after = 0; after < count; after += 100) {
      await this.push(storeId, Array.from({ length: Math.min(100, count - after) }, (_, n) => event(after + n + 1)))
    }
  }

  /** Pushes a batch in the name of some client. */
  async push(storeId, batch) {
    const [{ exit }] = await this.#request('Push', { storeId, batch, backendId: { _tag: 'None' } })
    if (exit?._tag !== 'Success') throw new Error(`the server refuses a push: ${JSON.stringify(exit)}`)
  }

  /** The frames that answer a request of LiveStore's HTTP wire. */
  async #request(rpc, payload) {
    const search = new URLSearchParams({ storeId: payload.storeId, transport: 'http' })
    if (payload.payload) search.set('payload', encodeURIComponent(JSON.stringify(payload.payload)))
    const request = { _tag: 'Request', id: '0', tag: `SyncHttpRpc.${rpc}`, payload, headers: [] }
    const answer = await fetch(`${this.url('http')}/?${search}`, { method: 'POST', body: JSON.stringify(request) })
    return answer.json()
  }
}
