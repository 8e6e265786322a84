/** A compiled module. Can be posted to a worker thread, which then need not compile it again. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: 'WebAssembly.Module'
}

export type WasmExports = Readonly<Record<string, unknown>>
export type WasmImports = Record<string, Record<string, unknown>>

/** The part of the JavaScript API that is needed here; Node's type declarations lack it. */
interface WebAssemblyApi {
  compile(bytes: Uint8Array): Promise<WasmModule>
  instantiate(module: WasmModule, imports: WasmImports): Promise<{ readonly exports: WasmExports }>
}

declare global {
  var WebAssembly: WebAssemblyApi
}

export const instantiate = async (module: WasmModule, imports: WasmImports): Promise<WasmExports> => {
  const { exports } = await WebAssembly.instantiate(module, imports)
  return exports
}
