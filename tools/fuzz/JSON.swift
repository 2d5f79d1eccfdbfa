import Support

/// libFuzzer entry: the input is a JSON document; what parses must survive being written and
/// read again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzJSON(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = UnsafeRawBufferPointer(start: start, count: count)
  guard let value = try? JSONValue.parse(bytes, subject: "fuzz") else { return 0 }
  let again = try? JSONValue.parse(value.serialized(pretty: true), subject: "written")
  precondition(again == value)
  return 0
}
