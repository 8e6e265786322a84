import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { HostError, NotSupportedError } from '../../../errors.js'
import type { ConnectionPool } from '../connection-pool.js'
import { RemoteError } from '../rpc/remote-error.js'
import type { ResultOf } from '../rpc/procedures.js'
import { attributeOf, childOf, readXml } from '../xml/xml-tree.js'
import { writeXml, xml } from '../xml/xml-writer.js'

/** A storage pool, as libvirt names it. */
type Pool = ResultOf<'connect_list_all_storage_pools'>['pools'][number]
/** A volume, as libvirt names it. */
export type Volume = ResultOf<'storage_vol_create_xml'>['vol']

/** A volume that is to be made. */
export interface NewVolume {
  readonly name: string
  readonly format: 'raw' | 'qcow2'
  readonly bytes: number
}

/** `VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE` */
const active = 2
/** `VIR_ERR_NO_STORAGE_VOL` */
const noVolume = 50

/** Kinds of pools whose volumes are files, of any format and any size. */
const poolsOfFiles: readonly (string | undefined)[] = ['dir', 'fs', 'netfs']

/** The pool where libvirt's own programs keep the disks of VMs. */
const usualPool = 'default'

/** Volumes of a host: the files of disks and seeds. */
export class Volumes {
  readonly #connections: () => ConnectionPool

  /** @param connections the connections of the moment */
  constructor(connections: () => ConnectionPool) {
    this.#connections = connections
  }

  /** The pool for new volumes: `default`, else the first one of files by its name. */
  async choosePool(): Promise<Pool> {
    const pools = await this.#poolsOfFiles()
    const pool = pools.find(({ name }) => name === usualPool) ?? pools[0]
    if (pool !== undefined) return pool
    throw new NotSupportedError({
      capability: 'spec.disks',
      path: 'spec.disks',
      reason: 'the host has no active storage pool of files, in which disks are kept',
      hint: 'Make one: virsh pool-define-as default dir --target /var/lib/libvirt/images, then virsh pool-start default.',
    })
  }

  /** Makes a volume, which only the hypervisor and root can read; answers it with its path. */
  async make(
    pool: Pool,
    { name, format, bytes }: NewVolume,
  ): Promise<{ readonly volume: Volume; readonly path: string }> {
    const wanted = xml(
      'volume',
      {},
      xml('name', {}, name),
      xml('capacity', { unit: 'bytes' }, String(bytes)),
      xml('allocation', {}, '0'),
      xml('target', {}, xml('format', { type: format }), xml('permissions', {}, xml('mode', {}, '0600'))),
    )
    const { vol } = await this.#connections().callLong('storage_vol_create_xml', {
      pool,
      xml: writeXml(wanted),
      flags: 0,
    })
    return { volume: vol, path: await this.pathOf(vol) }
  }

  /** The path of a volume's file on the host. */
  async pathOf(volume: Volume): Promise<string> {
    return (await this.#connections().control.call('storage_vol_get_path', { vol: volume })).name
  }

  /** Fills a volume with what a stream gives. It has arrived when the promise resolves. */
  async fill(volume: Volume, content: Readable, bytes: number, signal: AbortSignal): Promise<void> {
    const upload = { vol: volume, offset: 0n, length: BigInt(bytes), flags: 0 }
    const { stream } = await this.#connections().openStream('storage_vol_upload', upload)
    stream.resume()
    await pipeline(content, stream, { signal })
  }

  /** Gives a volume another size. It never shrinks. */
  async grow(path: string, bytes: number): Promise<void> {
    const volume = await this.at(path)
    if (volume === undefined) {
      const message = `${path} is in no active storage pool`
      throw new HostError({
        reason: `libvirt can't give a disk another size: ${message}`,
        native: { driver: 'libvirt', message },
      })
    }
    await this.#connections().callLong('storage_vol_resize', { vol: volume, capacity: BigInt(bytes), flags: 0 })
  }

  /** The volume at a path; `undefined` if no active pool has it. */
  async at(path: string): Promise<Volume | undefined> {
    try {
      return (await this.#connections().control.call('storage_vol_lookup_by_path', { path })).vol
    } catch (error) {
      if (isNoVolume(error)) return undefined
      throw error
    }
  }

  /** The volumes whose names begin so. */
  async named(prefix: string): Promise<Volume[]> {
    const found: Volume[] = []
    for (const pool of await this.#poolsOfFiles()) {
      const { vols } = await this.#connections().control.call('storage_pool_list_all_volumes', {
        pool,
        need_results: true,
        flags: 0,
      })
      found.push(...vols.filter(({ name }) => name.startsWith(prefix)))
    }
    return found
  }

  /** Deletes a volume with its content; one that is gone is no error. */
  async remove(volume: Volume): Promise<void> {
    try {
      await this.#connections().callLong('storage_vol_delete', { vol: volume, flags: 0 })
    } catch (error) {
      if (!isNoVolume(error)) throw error
    }
  }

  /** The active pools of files, by their names. */
  async #poolsOfFiles(): Promise<Pool[]> {
    const { control } = this.#connections()
    const { pools } = await control.call('connect_list_all_storage_pools', { need_results: true, flags: active })
    const kinds = await Promise.all(
      pools.map(async (pool) => {
        const text = (await control.call('storage_pool_get_xml_desc', { pool, flags: 0 })).xml
        const root = readXml(text, "libvirt's description of a storage pool")
        return childOf(root, 'target') === undefined ? undefined : attributeOf(root, 'type')
      }),
    )
    return pools
      .filter((_pool, index) => poolsOfFiles.includes(kinds[index]))
      .toSorted((a, b) => a.name.localeCompare(b.name))
  }
}

const isNoVolume = (error: unknown): boolean => error instanceof RemoteError && error.code === noVolume
