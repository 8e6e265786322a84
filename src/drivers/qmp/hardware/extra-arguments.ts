import { InvalidArgumentError } from '../../../errors.js'
import { isOwnName } from './own-names.js'

const drives = 'Use disks, cdroms or floppies.'
const bootSetting = 'Use boot.'
const consoles = 'vm.console() is the serial port; another port needs -chardev and -device.'
const process = 'awaitvm starts and ends QEMU itself.'
const monitors = 'awaitvm has monitors of its own.'
const saved = 'Use vm.suspend(), snapshots or vm.clone({ memory: true }).'

/** The options that awaitvm sets itself, or that would change what it knows of its QEMU, each with what to use instead. */
const owned: Readonly<Record<string, string>> = {
  name: 'Use name.',
  uuid: 'A VM has its id.',
  m: 'Use memoryMiB.',
  smp: 'Use cpus.',
  machine: 'Use machine.',
  M: 'Use machine.',
  accel: "Connect to 'qmp:///DIRECTORY?accel=tcg'.",
  'enable-kvm': "Connect to 'qmp:///DIRECTORY?accel=kvm'.",
  kernel: bootSetting,
  initrd: bootSetting,
  append: bootSetting,
  bios: bootSetting,
  boot: bootSetting,
  pflash: bootSetting,
  hda: drives,
  hdb: drives,
  hdc: drives,
  hdd: drives,
  cdrom: drives,
  fda: drives,
  fdb: drives,
  sd: drives,
  mtdblock: drives,
  snapshot: 'Take a snapshot with vm.createSnapshot(), and go back to it.',
  serial: consoles,
  parallel: consoles,
  nographic: consoles,
  display: 'A VM has no window: use -vnc.',
  qmp: monitors,
  'qmp-pretty': monitors,
  mon: monitors,
  monitor: monitors,
  S: process,
  preconfig: process,
  daemonize: process,
  pidfile: process,
  'run-with': process,
  chroot: process,
  runas: process,
  sandbox: process,
  nodefaults: process,
  'no-user-config': process,
  readconfig: 'Give the options themselves.',
  incoming: saved,
  loadvm: saved,
  'no-shutdown': process,
  'no-reboot': process,
  action: process,
  help: process,
  h: process,
  version: process,
}

/** Throws if arguments that a user gives to QEMU would take the place of awaitvm's own. */
export function checkExtraArguments(words: readonly string[], root: string): void {
  for (const [index, word] of words.entries()) {
    const path = `${root}.native.arguments[${String(index)}]`
    if (word.startsWith('-')) {
      const option = word.replace(/^--?/, '')
      const instead = Object.hasOwn(owned, option) ? owned[option] : undefined
      if (instead !== undefined) throw wrong(path, `is ${JSON.stringify(word)}, which awaitvm sets itself`, instead)
      continue
    }
    if (words[index - 1]?.startsWith('-') !== true) {
      throw wrong(
        path,
        'follows no option',
        'Give an option and its value as two arguments, and no image without an option.',
      )
    }
    const name = namesIn(word).find(isOwnName)
    if (name === undefined) continue
    throw wrong(path, `uses the name ${JSON.stringify(name)}, which is one of awaitvm's own`, 'Use another name.')
  }
}

/** The ids and names of nodes that a value defines: `socket,id=a`, or JSON. QEMU reads later keys over earlier ones. */
function namesIn(value: string): string[] {
  const inJson = value.matchAll(/"(?:id|node-name)"\s*:\s*"([^"]*)"/g)
  const inList = value.matchAll(/(?:^|,)(?:id|node-name)=([^,]*)/g)
  return [...inJson, ...inList].flatMap(([, name]) => name ?? [])
}

const wrong = (path: string, what: string, hint: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}`, hint })
