export * from '../../src/testing/conformance/console-reader.js'
