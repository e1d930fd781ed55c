//! Our own client: the `todo` example, a command per call, as a person uses it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'

import { Child } from './child.js'
import { scratch } from './server.js'
import { inTime } from './wait.js'

const IS_CONFIRMED = /^confirmed as e\d+$/m

export class RustClient {
  #t
  #dataDir
  #storeId
  #online

  /**
   * A client with an empty data directory. `scheme` is that of the server's URL, and says what is spoken; `payload` is
   * shown to the server.
   */
  constructor(t, { server, scheme, storeId, payload }) {
    this.#t = t
    this.#dataDir = scratch(t)
    this.#storeId = storeId
    this.#online = ['--server', server.url(scheme), '--wait', '60']
    if (payload) this.#online.push('--payload', JSON.stringify(payload))
  }

  /** Runs a command, such as `add` or `done`, that waits until the server has confirmed what it did. */
  async run(...command) {
    const said = await this.attempt(...command)
    if (!IS_CONFIRMED.test(said)) throw new Error(`todo ${command.join(' ')} was not confirmed: ${said}`)
  }

  /** The same, where the server may not confirm it; resolves with what the user is told. */
  async attempt(...command) {
    const { out } = await this.#todo([...this.#online, ...command])
    return out
  }

  /** Adds an item for each text, and waits until the server has confirmed all. */
  async addAll(texts) {
    const { out } = await this.#todo([...this.#online, 'add', '-'], texts.join('\n'))
    if (!IS_CONFIRMED.test(out)) throw new Error(`not all was confirmed: ${out.slice(-1000)}`)
  }

  /** Runs a command without a server. */
  async offline(...command) {
    await this.#todo(command)
  }

  /** Exchanges everything with the server; resolves with what the user is told beside that. */
  async sync() {
    const { err } = await this.#todo([...this.#online, 'sync'])
    return err
  }

  /** Follows the list in a process that runs on. */
  watch() {
    return new Child(this.#t, 'todo watch', process.env.TODO_BIN, this.#args([...this.#online, 'watch']))
  }

  /** The table in the state file, in the shape that LiveStore clients give it. */
  todos() {
    const state = new DatabaseSync(join(this.#dataDir, this.#storeId, 'state.sqlite'), { readOnly: true })
    try {
      const rows = state.prepare('SELECT id, position, text, is_done FROM todos ORDER BY position').all()
      return rows.map((row) => ({ ...row }))
    } finally {
      state.close()
    }
  }

  #args(args) {
    return ['--data-dir', this.#dataDir, '--store', this.#storeId, ...args]
  }

  async #todo(args, input = '') {
    const todo = spawn(process.env.TODO_BIN, this.#args(args))
    // A command that fails before it has read everything says why on its standard error.
    todo.stdin.on('error', () => {})
    todo.stdin.end(input)
    const ended = Promise.all([text(todo.stdout), text(todo.stderr), once(todo, 'close')])
    const [out, err, [code]] = await inTime(`todo ${args.join(' ')} ended`, ended)
    if (code !== 0) throw new Error(`todo ${args.join(' ')}: ${err || out}`)
    return { out, err }
  }
}
