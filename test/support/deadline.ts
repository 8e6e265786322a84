export * from '../../src/testing/conformance/deadline.js'
