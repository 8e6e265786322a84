export * from '../../src/testing/conformance/event-log.js'
