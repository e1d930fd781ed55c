//! The load generator.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Runs `livestore bench` against a server; what it measured, once it has verified what it read back. */
export async function bench(url, args) {
  const all = ['bench', ...args, '--url', url, '--dialect', 'livestore', '--json']
  try {
    const { stdout } = await promisify(execFile)(process.env.LIVESTORE_BIN, all, { maxBuffer: 16 * 1024 * 1024 })
    return JSON.parse(stdout)
  } catch (error) {
    throw new Error(`livestore ${all.join(' ')}: ${error.stderr?.trim() || error.message}`)
  }
}
