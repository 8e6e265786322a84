// Claims a folder repeatedly, in competition with other processes, and asserts that it is alone; or claims it once, and stays.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Claim } from '../../src/registry/claim.js'
import { Membership } from '../../src/registry/membership.js'

const [root = '', rounds = '0'] = process.argv.slice(2)
const folder = join(root, 'vm')
const member = new Membership(root)
await member.join()
mkdirSync(folder, { recursive: true })
const mark = join(folder, 'in-use')

async function claim(): Promise<Claim> {
  for (;;) {
    const taken = Claim.take(member, folder, 'starting', 'stopped')
    if (taken instanceof Claim) return taken
    await turn()
  }
}

for (let round = 0; round < Number(rounds); round += 1) {
  const claimed = await claim()
  // Fails if it exists, since then another process has the folder, too.
  writeFileSync(mark, '', { flag: 'wx' })
  await turn()
  claimed.setState('running')
  await turn()
  rmSync(mark)
  claimed.release()
}
if (rounds === '0') {
  await claim()
  process.stdin.resume()
}
console.log('done')
