import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')

/** What each host does with each setting: it honours the setting, or it refuses it. */
const hosts = {
  embedded: 'src/drivers/embedded/hardware.ts',
  parallels: 'src/drivers/parallels/configuration.ts',
  qmp: 'src/drivers/qmp/hardware/hardware.ts',
  simulated: 'src/drivers/simulated/provisioning.ts',
}
const model = {
  spec: 'src/model/vm-spec.ts',
  config: 'src/model/vm-config.ts',
  network: 'src/model/network-adapter.ts',
  guest: 'src/model/guest-access.ts',
  cloudInit: 'src/model/cloud-init.ts',
  cloudInitSchema: 'src/model/cloud-init-schema.ts',
}
/** How hosts with a directory keep a VM. */
const kept = 'src/registry/kept-definition.ts'
const images = 'src/files/named-images.ts'
const parallelsInfo = 'src/drivers/parallels/vm-info.ts'

const checked = [...Object.values(hosts), ...Object.values(model), kept, images, parallelsInfo]

/** The interfaces of the model, and the files that must say something of a setting that is added there. */
const models: Readonly<Record<string, { readonly file: string; readonly handledBy: readonly string[] }>> = {
  VmSpec: { file: model.spec, handledBy: [model.spec, ...Object.values(hosts)] },
  DiskSpec: { file: model.config, handledBy: [model.spec, kept, ...Object.values(hosts)] },
  MediaConfig: { file: model.config, handledBy: [model.spec, kept, ...Object.values(hosts)] },
  BootConfig: { file: model.config, handledBy: [model.spec, kept, images, ...Object.values(hosts)] },
  // The others have no adapters at all.
  NetworkAdapterConfig: { file: model.config, handledBy: [model.network, kept, hosts.qmp, hosts.simulated] },
  PortForward: { file: model.config, handledBy: [model.network, kept, hosts.qmp, hosts.simulated] },
  SshAccess: { file: model.guest, handledBy: [model.guest, hosts.embedded, hosts.qmp, hosts.simulated] },
  CloudInit: { file: model.cloudInit, handledBy: [model.cloudInitSchema] },
  VmConfig: { file: model.config, handledBy: [kept, parallelsInfo, hosts.simulated] },
}

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8')).config,
  ts.sys,
  root,
)
const host = ts.createCompilerHost(options)
const { getSourceFile } = host
const parsed = new Map<string, ts.SourceFile | undefined>()

/** The files that do not compile once the interface has one more setting. */
function brokenBy(name: string, file: string): string[] {
  host.getSourceFile = (path, languageVersion, ...rest) => {
    if (path === join(root, file)) {
      return ts.createSourceFile(path, withSetting(name, readFileSync(path, 'utf8')), languageVersion)
    }
    if (!parsed.has(path)) parsed.set(path, getSourceFile(path, languageVersion, ...rest))
    return parsed.get(path)
  }
  const program = ts.createProgram(
    checked.map((path) => join(root, path)),
    options,
    host,
  )
  const problems = checked.flatMap((path) => program.getSemanticDiagnostics(program.getSourceFile(join(root, path))))
  for (const { messageText } of problems) expect(ts.flattenDiagnosticMessageText(messageText, ' ')).toContain('added')
  return [...new Set(problems.map((problem) => relative(root, problem.file?.fileName ?? '')))]
}

function withSetting(name: string, text: string): string {
  const opening = new RegExp(`export interface ${name}(?: extends [^{]*)? {\n`).exec(text)?.[0]
  if (opening === undefined) throw new Error(`there is no interface ${name}`)
  return text.replace(opening, `${opening}  readonly added?: string | undefined\n`)
}

test.each(Object.entries(models))(
  'a setting that is added to %s does not compile before the model, the kept form and each host handle it',
  (name, { file, handledBy }) => {
    expect(brokenBy(name, file).sort()).toEqual([...handledBy].sort())
  },
  60_000,
)
