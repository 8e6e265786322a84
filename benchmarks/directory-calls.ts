/** Measures calls in a directory that has VMs already, for `directory.ts`. */
import { connect } from 'awaitvm'
import { median } from './support/alternate.js'
import { answer } from './support/child.js'

const [uri = '', knownName = ''] = process.argv.slice(2)
await using server = await connect(uri).unwrap()
const warmUps = 20

/** The median of the milliseconds that the call takes, the first ones left out. */
async function timed<T>(
  times: number,
  call: () => PromiseLike<T>,
  clear?: (made: T) => PromiseLike<unknown>,
): Promise<number> {
  const samples: number[] = []
  for (let time = -warmUps; time < times; time += 1) {
    const start = performance.now()
    const made = await call()
    if (time >= 0) samples.push(performance.now() - start)
    await clear?.(made)
  }
  return median(samples)
}

let serial = 0
answer({
  create: await timed(
    50,
    () => server.createVm({ name: `created-${(serial += 1)}` }).unwrap(),
    (vm) => vm.delete().unwrap(),
  ),
  find: await timed(200, () => server.getVm(knownName).unwrap()),
  list: await timed(5, () => server.getVmList().unwrap()),
})
