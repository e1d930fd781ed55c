//! A child process of a test: its output is kept, and shown if the test fails; it ends with the test.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

import { eventually, inTime } from './wait.js'

const KEPT_OUTPUT = 20_000

/** Those that run. They must not outlive a run that is interrupted or takes too long. */
const running = new Set()
process.on('exit', () => running.forEach((child) => child.end()))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

export class Child {
  #process
  #output = ''
  #exit
  #closed
  #endedBy

  /** Starts `command`. `endedBy` is the signal that ends it with the test, `options` are those of `spawn`. */
  constructor(t, name, command, args, { endedBy = 'SIGKILL', ...options } = {}) {
    this.name = name
    this.#endedBy = endedBy
    this.#process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    this.#exit = once(this.#process, 'exit')
    // Comes after the exit, once all output is in.
    this.#closed = new Promise((resolve) => this.#process.once('close', resolve))
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT)
      })
    }
    running.add(this)
    this.exited().then(() => running.delete(this))
    t.after(async () => {
      await this.stop(this.#endedBy)
      if (!t.passed) t.diagnostic(`output of ${name}:\n${this.#output}`)
    })
  }

  get channel() {
    return this.#process
  }

  get output() {
    return this.#output
  }

  get isRunning() {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** The match of the first output that matches `pattern`. */
  async says(pattern) {
    const said = await eventually(`${this.name} said ${pattern}`, () => pattern.exec(this.#output) ?? !this.isRunning)
    if (said !== true) return said
    await inTime(`the output of ${this.name} ended`, this.#closed)
    const saidLast = pattern.exec(this.#output)
    if (!saidLast) throw new Error(`${this.name} ended without saying ${pattern}:\n${this.#output}`)
    return saidLast
  }

  /** Resolves with how it ended, `{ code, signal }`, whenever that is. */
  async exited() {
    const [code, signal] = await this.#exit
    return { code, signal }
  }

  /** Ends it without waiting for that. */
  end() {
    this.#process.kill(this.#endedBy)
  }

  /** Sends it `signal`, and waits for its end. */
  async stop(signal) {
    if (this.isRunning) this.#process.kill(signal)
    return inTime(`${this.name} ended`, this.exited())
  }
}
