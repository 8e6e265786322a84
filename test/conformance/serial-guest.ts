export * from '../../src/testing/conformance/serial-guest.js'
