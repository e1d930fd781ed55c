//! Measures both servers with the same load generator and prints one table.
//!
//! The servers run one after the other, never together, and scenario by scenario, so that the two figures of a row are
//! taken within a minute of each other. Each figure is the median of the rounds.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { bench } from './bench.js'
import { report } from './report.js'
import { scenarios } from './scenarios.js'
import { ours, theirs } from './servers.js'

const { values: options } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})

const dir = mkdtempSync(join(tmpdir(), 'livestore-compare-'))
const samples = new Map()

/** One server, empty, through one scenario. */
async function measure(start, scenario, round) {
  const data = join(dir, `${scenario.name}-${start.name}-${round}`)
  const server = await start(data)
  try {
    return await bench(server.url, [...scenario.args, '--seconds', options.seconds])
  } finally {
    await server.stop()
    if (!options.keep) rmSync(data, { recursive: true, force: true })
  }
}

try {
  const chosen = scenarios.filter(({ full }) => options.full || !full)
  for (let round = 1; round <= Number(options.rounds); round++) {
    for (const scenario of chosen) {
      for (const start of [theirs, ours]) {
        process.stderr.write(`round ${round}: ${scenario.name}, ${start.name}\n`)
        const measured = await measure(start, scenario, round)
        for (const { name, unit, aim, value } of scenario.figures(measured)) {
          const sample = samples.get(name) ?? { unit, aim, ours: [], theirs: [], load: [] }
          sample[start.name].push(value)
          sample.load.push(loadavg()[0])
          samples.set(name, sample)
        }
      }
    }
  }
} finally {
  if (!options.keep) rmSync(dir, { recursive: true, force: true })
}

const { text, rows } = report(samples)
console.log(text)
if (options.json) {
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model }
  const settings = { rounds: Number(options.rounds), secondsPerRow: Number(options.seconds) }
  writeFileSync(options.json, `${JSON.stringify({ machine, ...settings, rows }, null, 2)}\n`)
}
