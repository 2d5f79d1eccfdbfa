import Support

/// libFuzzer entry: the input is `model.safetensors`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSafetensors(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  fuzzCheckpoint(UnsafeBufferPointer(start: start, count: count), name: "model.safetensors", open: "")
}
