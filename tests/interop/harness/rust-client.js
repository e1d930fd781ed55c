//! Our own client: the `todo` example, a command per call, as a person uses it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'

import { scratch } from './server.js'
import { inTime } from './wait.js'

export class RustClient {
  #dataDir
  #storeId
  #url

  /** A client with an empty data directory. `scheme` is that of the server's URL, and says what is spoken. */
  constructor(t, { server, scheme, storeId }) {
    this.#dataDir = scratch(t)
    this.#storeId = storeId
    this.#url = server.url(scheme)
  }

  /** Runs a command, such as `add` or `done`, that waits until the server has confirmed what it did. */
  async run(...command) {
    const said = await this.#todo(['--server', this.#url, '--wait', '30', ...command])
    if (!/^confirmed as e\d+$/m.test(said)) throw new Error(`todo ${command.join(' ')} was not confirmed: ${said}`)
  }

  /** Adds an item for each text, and waits until the server has confirmed all. */
  async addAll(texts) {
    const said = await this.#todo(['--server', this.#url, '--wait', '30', 'add', '-'], texts.join('\n'))
    if (!/^confirmed as e\d+$/m.test(said)) throw new Error(`not all was confirmed: ${said.slice(-1000)}`)
  }

  /** Runs a command without a server. */
  offline(...command) {
    return this.#todo(command)
  }

  /** Exchanges everything with the server. */
  sync() {
    return this.#todo(['--server', this.#url, 'sync'])
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

  async #todo(args, input = '') {
    const todo = spawn(process.env.TODO_BIN, ['--data-dir', this.#dataDir, '--store', this.#storeId, ...args])
    // A command that fails before it has read everything says why on its standard error.
    todo.stdin.on('error', () => {})
    todo.stdin.end(input)
    const ended = Promise.all([text(todo.stdout), text(todo.stderr), once(todo, 'close')])
    const [out, err, [code]] = await inTime(`todo ${args.join(' ')} ended`, ended)
    if (code !== 0) throw new Error(`todo ${args.join(' ')}: ${err || out}`)
    return out
  }
}
