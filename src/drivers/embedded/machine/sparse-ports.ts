const portCount = 0x1_0000

interface Ports {
  ports: unknown[]
  create_empty_entry: (this: Ports) => object
}

type Register = (this: Ports, port: number, ...rest: unknown[]) => unknown

/** The methods of v86's I/O controller that change the entry of a port; all others use them. */
const registering = ['register_read', 'register_write'] as const

type Controller = Ports & Record<(typeof registering)[number], Register>

/**
 * Lets v86 set up a machine without an object for each of the 65,536 I/O ports, nearly all of which stay empty: they take 18
 * of the 50 ms to a guest's first line, and 5 MB. Empty ports share one entry; a port gets its own when a device registers.
 *
 * v86 does not expose its I/O controller while it fills the ports, so this notices the assignment of `ports` to a new object.
 * `setUp` is synchronous: nothing else runs at that time.
 */
export function withSparsePorts<T>(setUp: () => T): T {
  Object.defineProperty(Object.prototype, 'ports', {
    configurable: true,
    set(this: object, value: unknown) {
      Object.defineProperty(this, 'ports', { value, writable: true, enumerable: true, configurable: true })
      if (!isController(this)) return
      this.ports.length = portCount
      shareEmptyEntries(this)
    },
  })
  try {
    return setUp()
  } finally {
    delete (Object.prototype as { ports?: unknown }).ports
  }
}

const isController = (object: object): object is Controller =>
  'create_empty_entry' in object && registering.every((name) => name in object)

function shareEmptyEntries(controller: Controller): void {
  const create = controller.create_empty_entry
  const shared = create.call(controller)
  controller.create_empty_entry = () => shared
  for (const name of registering) {
    const register = controller[name]
    controller[name] = function (port, ...rest) {
      if (this.ports[port] === shared) this.ports[port] = create.call(this)
      return register.call(this, port, ...rest)
    }
  }
}
