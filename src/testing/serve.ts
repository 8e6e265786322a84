import { serveDriver, type ServeOptions } from '../connect.js'
import { checkedDriver } from '../driver/checked-driver.js'
import type { Driver } from '../driver/driver.js'
import type { Server } from '../server.js'

/**
 * A server over a driver that is connected already: what `connect` makes of a driver that was registered with `registerDriver`.
 *
 * @param uri what `server.uri` and errors tell
 * @throws an `InvalidArgumentError` if the options are wrong, a `ProtocolError` if the driver is not a driver
 */
export const serve = (driver: Driver, uri: string, options?: ServeOptions): Server =>
  serveDriver(checkedDriver(driver), uri, options)
