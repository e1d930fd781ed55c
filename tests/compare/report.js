//! The table.

function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

function number(value, unit) {
  if (unit === '/s') return Math.round(value).toLocaleString('en')
  return value < 10 ? `${value.toFixed(2)} ms` : `${value.toFixed(1)} ms`
}

/** How many times better ours is: more of a rate, less of a time. */
function times(unit, ours, theirs) {
  return unit === '/s' ? ours / theirs : theirs / ours
}

function factor(ratio) {
  return `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(1)} ×`
}

/** Medians over the rounds, ours beside theirs, as a Markdown table and as data. */
export function report(samples) {
  const rows = [...samples].map(([name, sample]) => {
    const [mine, other] = [median(sample.ours), median(sample.theirs)]
    const { unit, aim } = sample
    const ratio = times(unit, mine, other)
    return { name, unit, ours: mine, theirs: other, ratio, aim, met: aim && ratio >= aim, sample }
  })
  const lines = rows.map(({ name, unit, ours, theirs, ratio, aim, met }) => {
    const judged = aim ? `${aim} ×, ${met ? 'met' : 'missed'}` : ''
    return `| ${name} | ${number(ours, unit)} | ${number(theirs, unit)} | ${factor(ratio)} | ${judged} |`
  })
  const load = Math.max(...rows.flatMap(({ sample }) => sample.load))
  const text = [
    '| what | ours | LiveStore’s server | ours is better by | aim |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
    '',
    `The load of the machine was at most ${load.toFixed(1)}. Everything that was pushed was read back and compared.`,
  ].join('\n')
  const data = rows.map(({ sample, ...row }) => ({ ...row, samples: { ours: sample.ours, theirs: sample.theirs } }))
  return { text, rows: data }
}
