import { renameSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { Claim } from '../../src/registry/claim.js'
import { Membership } from '../../src/registry/membership.js'
import { Child } from '../support/child-process.js'
import { container, containerWithoutProc, missingContainers, renamedHost } from '../support/container.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'

/** No container: the processes of all containers are seen, under other pids. */
const here: readonly string[] = []
const pairs = [
  ['a container', 'another one', container('a'), container('b')],
  ['a container', 'its host', container('a'), here],
  ['the host', 'a container', here, container('b')],
  ['a container without its own /proc', 'its host', containerWithoutProc('a'), here],
  ['a container', 'one without its own /proc', container('a'), containerWithoutProc('b')],
] as const

let directory: string

beforeEach(async (context) => {
  skipWithout(context, missingContainers())
  directory = await mkdtemp(join(tmpdir(), 'awaitvm-containers-'))
  onTestFinished(async () => {
    for (const pid of await qemusIn(directory)) process.kill(pid, 'SIGKILL')
    await rm(directory, { recursive: true, maxRetries: 3 })
  })
})

async function open(uri: string, wrapper: readonly string[]): Promise<Child> {
  const child = new Child('host-child.ts', [uri], wrapper)
  await child.printed('ready')
  return child
}

async function obey(child: Child, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    child.send(line)
    await child.printed(`did ${line}`)
  }
}

test.for(pairs)('embedded: what %s runs is kept from %s until it is gone', async ([_one, _two, first, second]) => {
  await using owner = await open(`embedded://${directory}`, first)
  await obey(owner, 'create web-1', 'start web-1')
  await using other = await open(`embedded://${directory}`, second)
  for (const line of ['kill web-1', 'start web-1', 'edit web-1']) {
    other.send(line)
    await other.printed(`failed ${line}: RESOURCE_BUSY`)
  }
  await obey(other, 'create web-2')
  await obey(owner, 'pause web-1')
  await owner.kill()
  await obey(other, 'start again web-1', 'kill again web-1')
})

test.for(pairs)(
  'QEMU: what %s starts is worked on by %s, also when it is gone',
  async ([_one, _two, first, second], context) => {
    skipWithout(context, missingQemu)
    await using owner = await open(`qmp://${directory}`, first)
    await obey(owner, 'create web-1', 'start web-1')
    await using other = await open(`qmp://${directory}`, second)
    await obey(other, 'pause web-1', 'create web-2')
    await obey(owner, 'resume web-1')
    await obey(other, 'kill web-1')
    await obey(owner, 'start again web-1')
    await owner.kill()
    // The QEMU of a container ends with it, that of the host runs on.
    if (first !== here) await obey(other, 'await crashed web-1', 'start web-1')
    await obey(other, 'kill again web-1', 'start web-2', 'kill web-2')
  },
)

test('QEMU: a container with the /proc of its host ends what it runs itself', async (context) => {
  skipWithout(context, missingQemu)
  await using owner = await open(`qmp://${directory}`, containerWithoutProc('a'))
  await obey(owner, 'create web-1', 'start web-1', 'kill web-1')
  await obey(owner, 'start again web-1', 'suspend web-1', 'resume web-1', 'kill again web-1', 'delete web-1')
})

test.for(['embedded', 'qmp'])('%s: a host that gets another name goes on with its VMs', async (scheme, context) => {
  if (scheme === 'qmp') skipWithout(context, missingQemu)
  await using before = await open(`${scheme}://${directory}`, renamedHost('before'))
  await obey(before, 'create web-1', 'start web-1')
  await using after = await open(`${scheme}://${directory}`, renamedHost('after'))
  if (scheme === 'embedded') {
    after.send('kill web-1')
    await after.printed('failed kill web-1: RESOURCE_BUSY')
  }
  await before.kill()
  if (scheme === 'qmp') await obey(after, 'kill web-1')
  await obey(after, 'create web-2', 'start web-1')
})

test('a claim tells of a process of another container, and is left to the next once that is gone', async () => {
  const root = join(directory, 'claims')
  await using first = new Child('claim-child.ts', [root], container('a'))
  await first.printed('done')
  const member = new Membership(root)
  await member.join()
  const folder = join(root, 'vm')
  expect(Claim.holder(member, folder)?.pid).toBe(1)
  await first.kill()
  await expect.poll(() => Claim.holder(member, folder)).toBeUndefined()
  expect(Claim.take(member, folder, 'starting')).toBeInstanceOf(Claim)
  await member.leave()
})

test('an error names the file of a claim that may be of another machine', async () => {
  await using server = await connect(`embedded://${directory}`).unwrap()
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  const folder = join(directory, 'vms', vm.id)
  const other = '00000000-0000-4000-8000-000000000000'
  writeFileSync(join(folder, `claim,running,stopped,1,42,77,${other},4026531836,shared,`), '')
  const error = (await vm.start())._unsafeUnwrapErr()
  expect(error.code).toBe('RESOURCE_BUSY')
  expect(error.message).toContain('another machine')
  expect(error.hint).toContain(`remove ${folder}/claim,running`)
  // On a disk that only one machine has at a time, a process of another boot is gone.
  renameSync(
    join(folder, `claim,running,stopped,1,42,77,${other},4026531836,shared,`),
    join(folder, `claim,running,stopped,1,42,77,${other},4026531836,,`),
  )
  await vm.start().unwrap()
})
