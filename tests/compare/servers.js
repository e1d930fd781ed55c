//! The two servers, each with its data in an empty directory, durable before it acknowledges.

import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const START_MS = 30_000
const STOP_MS = 30_000

/** `livestore serve` as it comes: redb, a sync before each acknowledgement. */
export async function ours(data) {
  const args = ['serve', '--listen', '127.0.0.1:0', '--data-dir', data, '--log', 'warn']
  return start(process.env.LIVESTORE_BIN, args, `${data}.log`, /serves ws:\/\/([0-9.:]+)/)
}

/** LiveStore's worker on workerd; its SQLite syncs before each acknowledgement, too. */
export async function theirs(data) {
  const script = fileURLToPath(new URL('../interop/reference/serve.js', import.meta.url))
  const args = [...process.execArgv, script, '--port', '0', '--data-dir', data]
  return start(process.execPath, args, `${data}.log`, /listening on http:\/\/([0-9.:]+)/)
}

/** Starts a server whose errors go into a file, and waits until it says where it is. */
async function start(command, args, log, address) {
  const errors = openSync(log, 'w')
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', errors] })
  closeSync(errors)
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const said = new Promise((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
      const found = address.exec(output)
      if (found) resolve(found[1])
    })
    child.once('error', reject)
    exited.then((code) => reject(new Error(`${command} ended with ${code} before it served; see ${log}`)))
    setTimeout(() => reject(new Error(`${command} did not serve within ${START_MS} ms`)), START_MS).unref()
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const killed = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exited
    clearTimeout(killed)
  }
  try {
    return { url: `ws://${await said}`, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
