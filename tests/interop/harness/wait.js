//! Waiting for a condition, never for a time.

import { setTimeout as pause } from 'node:timers/promises'

/** Far more than anything takes, clients' back-off of up to 30 s included; it only bounds a run that has failed. */
const PATIENCE = 120_000

const PAUSE_BETWEEN_LOOKS = 20

/** Looks until `look` returns something truthy, and returns it. `what` says what was waited for if that never happens. */
export async function eventually(what, look) {
  const end = Date.now() + PATIENCE
  for (;;) {
    const seen = await look()
    if (seen) return seen
    if (Date.now() > end) throw new Error(`it never happened that ${what}`)
    await pause(PAUSE_BETWEEN_LOOKS)
  }
}

/** The outcome of `promise`, or an error that names what was waited for. */
export async function inTime(what, promise) {
  const timer = new AbortController()
  const late = pause(PATIENCE, undefined, { signal: timer.signal }).then(
    () => Promise.reject(new Error(`it never happened that ${what}`)),
    // The other one was in time.
    () => {},
  )
  return Promise.race([promise, late]).finally(() => timer.abort())
}
