export * from '../../src/testing/conformance/expect-failure.js'
