import Support

/// libFuzzer entry: the input is a GGUF file.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzGGUF(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  fuzzCheckpoint(UnsafeBufferPointer(start: start, count: count), name: "m.gguf", open: "/m.gguf")
}
