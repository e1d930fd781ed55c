//! A LiveStore client in a process of its own, as a test sees it.

import assert from 'node:assert/strict'

import { Child } from './child.js'
import { eventually, inTime } from './wait.js'

const program = new URL('../clients/livestore.js', import.meta.url).pathname

export class Client {
  #child
  #calls = new Map()
  #lastCall = 0
  #ended = Promise.withResolvers()
  #hasEnded = false

  /**
   * Opens a client called `name`, over `transport` (`ws` or `http`) to `server`, of the store `storeId`.
   *
   * With `dataDir` its data is there and the client of that name goes on with it; without, it is in memory.
   */
  static async open(t, name, { server, transport = 'ws', storeId, dataDir, payload }) {
    const client = new Client(t, name)
    await client.#call('open', { url: server.url('http'), transport, storeId, clientId: name, dataDir, payload })
    return client
  }

  constructor(t, name) {
    this.name = name
    this.#child = new Child(t, `client ${name}`, process.execPath, [...process.execArgv, program], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // In development a 0.4.0 client ends itself when an event gets another number in a rebase, if its materializer uses
      // the number: it compares what the materializer did before and after.
      env: { ...process.env, NODE_ENV: 'production' },
    })
    this.#child.channel.on('message', (message) => this.#receive(message))
    this.#child.exited().then(({ code, signal }) => {
      const error = new Error(`client ${name} ended (${signal ?? code})`)
      for (const { reject } of this.#calls.values()) reject(error)
    })
  }

  #receive({ id, result, error, ended }) {
    if (ended) {
      this.#hasEnded = true
      return this.#ended.resolve(ended)
    }
    const { resolve, reject } = this.#calls.get(id)
    this.#calls.delete(id)
    if (error) reject(new Error(`client ${this.name}: ${error}`))
    else resolve(result)
  }

  #call(call, ...args) {
    // What waits for the store to get somewhere would wait for nothing.
    if (this.#hasEnded) throw new Error(`the store of client ${this.name} has ended by itself`)
    const id = ++this.#lastCall
    const answer = Promise.withResolvers()
    this.#calls.set(id, answer)
    this.#child.channel.send({ id, call, args })
    return inTime(`client ${this.name} answered to ${call}`, answer.promise)
  }

  /** Commits events, given as `[kind, args]`, in one transaction. */
  commit(...batch) {
    return this.#call('commit', ...batch)
  }

  add(id, text = id) {
    return this.commit(['TodoAdded', { id, text }])
  }

  /** Commits, and waits until the backend has confirmed it. */
  async commitConfirmed(...batch) {
    await this.commit(...batch)
    await this.confirmed()
  }

  todos() {
    return this.#call('todos')
  }

  selections() {
    return this.#call('selections')
  }

  status() {
    return this.#call('status')
  }

  /** Waits until the backend has confirmed everything that this client committed. */
  confirmed() {
    return eventually(`client ${this.name} had everything confirmed`, async () => (await this.status()).unconfirmed === 0)
  }

  /** Waits until this client has everything up to an event of the backend's. */
  reaches(head) {
    return eventually(`client ${this.name} reached e${head}`, async () => (await this.status()).upstream >= head)
  }

  /** Waits for the store to end by itself; resolves with the exit that LiveStore gives. */
  ended() {
    return inTime(`the store of client ${this.name} ended`, this.#ended.promise)
  }

  /** Closes the store as an application does, and ends the process. */
  async close() {
    await this.#call('close')
    this.#child.channel.disconnect()
    await inTime(`client ${this.name} ended`, this.#child.exited())
  }

  /** Ends the process as a crash does. */
  kill() {
    return this.#child.stop('SIGKILL')
  }
}

/** Waits until all clients have the table that the first one has, with the ids `ids` in their order, and nothing pending. */
export async function converged(clients, ids) {
  const tables = []
  for (const client of clients) {
    await client.confirmed()
    const table = await eventually('a client had all items', async () => {
      const todos = await client.todos()
      return todos.length === ids.length && todos
    })
    tables.push(table)
  }
  for (const table of tables) assert.deepEqual(table, tables[0], 'the clients have equal tables')
  assert.deepEqual(tables[0].map(({ id }) => id).sort(), [...ids].sort())
  return tables[0]
}
