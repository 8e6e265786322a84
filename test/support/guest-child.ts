// Works in the guest of web-1 in one way, for tests that kill it in the middle: prints "reached" once the work is under way.
import { connect } from '../../src/index.js'

const [uri = '', work = '', here = '', there = ''] = process.argv.slice(2)
await using server = await connect(uri).unwrap()
const { guest } = await server.getVm('web-1').unwrap()

let isTold = false
function reached(): void {
  if (!isTold) console.log('reached')
  isTold = true
}

const onProgress = ({ percent = 0 }: { readonly percent?: number | undefined }): void => {
  if (percent > 0) reached()
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield await Promise.resolve(Buffer.alloc(65_536))
}

/** All that the work prints is read, and tells that it's under way. */
const onOutput = reached

const works: Readonly<Record<string, () => PromiseLike<unknown>>> = {
  'a silent program': () => guest.exec('sleep 2002 & setsid sleep 2003 & echo begun; exec sleep 2004', { onOutput }),
  'a program as another user': () => guest.exec('echo begun; exec sleep 2005', { onOutput, user: 'ci' }),
  'a program that prints': () => guest.exec('yes', { onOutput, maxOutputBytes: 0 }),
  'a program that reads': () =>
    guest.exec('head -c 100000 >/dev/null; echo begun; cat >/dev/null; sleep 2006', { onOutput, input: endless() }),
  'a detached program': () =>
    guest.exec('echo begun; until [ -e /run/go ]; do sleep 0.1; done; echo over; exit 3', { onOutput, detached: true }),
  'a detached program that prints': () =>
    guest.exec('yes & until [ -e /run/go ]; do sleep 0.1; done; kill "$!"', { onOutput, detached: true }),
  'a detached program that reads': () =>
    guest.exec('echo begun; head -c 100000 >/dev/null; echo more; until [ -e /run/go ]; do sleep 0.1; done; exit 4', {
      onOutput: ({ data }) => {
        if (data.includes('more')) reached()
      },
      input: endless(),
      detached: true,
    }),
  'detached programs that are being started': () =>
    Promise.all(
      Array.from({ length: 8 }, () =>
        guest.exec('echo begun; until [ -e /run/go ]; do sleep 0.1; done; exit 3', { onOutput, detached: true }),
      ),
    ),
  'a program with a terminal': () =>
    guest.exec('echo begun; exec sleep 2007', { onOutput, pty: { columns: 80, rows: 24 } }),
  'a file that is written': () =>
    guest.writeFile(
      there,
      (async function* () {
        for await (const piece of endless()) {
          yield piece
          reached()
        }
      })(),
    ),
  'programs that are being started': () =>
    Promise.all(Array.from({ length: 64 }, () => guest.exec('echo begun; exec sleep 2008', { onOutput }))),
  copyIn: () => guest.copyIn(here, there, { onProgress }),
  copyOut: () => guest.copyOut(there, here, { onProgress }),
}

await works[work]?.()
