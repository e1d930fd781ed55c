//! What is measured, and which figures it gives. An aim says how many times better than theirs ours has to be.

const rate = (name, value, aim) => ({ name, unit: '/s', value, aim })
const time = (name, micros, aim) => ({ name, unit: 'ms', value: micros / 1000, aim })

function pushes({ push }, aim) {
  return push.flatMap(({ clients, stores, batch, pushesPerSecond, eventsPerSecond, ackMicros }) => {
    const place = clients === 1 ? '1 client' : `${clients} clients, ${stores === clients ? 'a store each' : 'one store'}`
    const what = `${place}, batches of ${batch}`
    return [
      batch === 1 ? rate(`pushes/s: ${what}`, pushesPerSecond, aim) : rate(`events/s: ${what}`, eventsPerSecond, aim),
      time(`ack p50: ${what}`, ackMicros.p50),
      time(`ack p99: ${what}`, ackMicros.p99),
    ]
  })
}

function pulls({ pull }) {
  return pull.flatMap(({ events, eventsPerSecond, firstPageMicros }) => [
    rate(`events/s: full pull of ${events.toLocaleString('en')}`, eventsPerSecond, 50),
    time(`first page of ${events.toLocaleString('en')}, p50`, firstPageMicros.p50),
  ])
}

function deliveries({ fanOut }) {
  return fanOut.flatMap(({ subscribers, deliveryMicros }) => [
    time(`delivery to ${subscribers} subscribers, p50`, deliveryMicros.p50),
    time(`delivery to ${subscribers} subscribers, p99`, deliveryMicros.p99, subscribers === 50 ? 5 : undefined),
  ])
}

const push = (clients, stores, batch) => [
  'push', '--clients', String(clients), '--stores', String(stores), '--batch', String(batch),
]

/** Each with the arguments of `livestore bench`; those marked `full` only with `--full`. */
export const scenarios = [
  { name: 'push-1', args: push(8, 8, 1), figures: (measured) => pushes(measured, 20) },
  { name: 'push-100', args: push(8, 8, 100), figures: (measured) => pushes(measured, 50) },
  { name: 'push-alone', args: push(1, 1, '1,100'), figures: (measured) => pushes(measured) },
  { name: 'push-shared', args: push(8, 1, 1), figures: (measured) => pushes(measured) },
  { name: 'pull', args: ['pull', '--events', '10000'], figures: pulls },
  { name: 'fan-out', args: ['fan-out', '--subscribers', '50'], figures: deliveries },
  { name: 'push-64', args: push(64, '64,1', '1,10,100'), figures: (measured) => pushes(measured), full: true },
  { name: 'pull-long', args: ['pull', '--events', '100000'], figures: pulls, full: true },
  { name: 'fan-out-1000', args: ['fan-out', '--subscribers', '1000'], figures: deliveries, full: true },
]
