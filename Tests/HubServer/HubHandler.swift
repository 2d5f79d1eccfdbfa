import NIOCore
import NIOHTTP1
import Support

/// Answers the requests of one connection.
final class HubHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let state: HubServer.SharedState
  private let isContent: Bool
  private var head: HTTPRequestHead?

  init(_ state: HubServer.SharedState, isContent: Bool) {
    self.state = state
    self.isContent = isContent
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      if let head { answer(head, context) }
      head = nil
    }
  }

  private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let path = head.uri.prefix { $0 != "?" }
    let parts = path.split(separator: "/").map { Self.unescaped(String($0)) }
    let token = state.value.withLock { $0.requiredToken }
    if let token, !isContent, head.headers.first(name: "Authorization") != "Bearer \(token)" {
      send(context, 401, ["X-Error-Code": "GatedRepo"], [])
    } else if parts.count == 6, parts[0] == "api", parts[4] == "revision" {
      list(context, parts[2] + "/" + parts[3], parts[5])
    } else if parts.count >= 5, parts[2] == "resolve" {
      bytes(
        context, head, parts[0] + "/" + parts[1], parts[3],
        parts[4...].joined(separator: "/"))
    } else {
      send(context, 404, [:], [])
    }
  }

  private func list(_ context: ChannelHandlerContext, _ name: String, _ revision: String) {
    let (repository, terse, fault) = state.value.withLock { state in
      state.listCount += 1
      return (state.repositories[name], state.isTerse, state.listFault(state.listCount))
    }
    if case .answers(let code, let headers)? = fault { return send(context, code, headers, []) }
    if case .hangs? = fault { return }
    guard let repository else {
      return send(context, 404, ["X-Error-Code": "RepoNotFound"], [])
    }
    guard repository.revisions.contains(revision) || revision == repository.commit else {
      return send(context, 404, ["X-Error-Code": "RevisionNotFound"], [])
    }
    send(context, 200, [:], Array(HubServer.list(repository, terse: terse).serialized().utf8))
  }

  private func bytes(
    _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ name: String, _ commit: String,
    _ path: String
  ) {
    let (repository, redirects) = state.value.withLock { ($0.repositories[name], $0.redirects) }
    guard let repository, commit == repository.commit, let content = repository.files[path] else {
      return send(context, 404, ["X-Error-Code": "EntryNotFound"], [])
    }
    var headers = [
      "X-Repo-Commit": commit, "ETag": "\"\(HubServer.blobID(content))\"",
    ]
    if HubServer.isLarge(path) {
      headers["X-Linked-ETag"] = "\"\(HubServer.sha256(content))\""
      headers["X-Linked-Size"] = "\(content.count)"
      if redirects, !isContent {
        let port = state.contentPort.load(ordering: .relaxed)
        headers["Location"] = "http://127.0.0.1:\(port)\(head.uri)?Signature=abc"
        return send(context, 302, headers, [])
      }
    }
    let range = Self.range(head.headers.first(name: "Range"), content.count)
    let fault = state.value.withLock { state in
      let request = HubRequest(
        number: state.requests.count, path: path, range: range,
        authorization: head.headers.first(name: "Authorization"), isContent: isContent)
      state.requests.append(request)
      return state.fault(request)
    }
    send(context, content, range, headers, fault)
  }

  private func send(
    _ context: ChannelHandlerContext, _ content: [UInt8], _ wanted: Range<Int>?,
    _ headers: [String: String], _ fault: HubFault?
  ) {
    var headers = headers
    var range = wanted ?? 0..<content.count
    var code = wanted == nil ? 200 : 206
    switch fault {
    case .answers(let code, let extra):
      return send(context, code, extra, [])
    case .hangs: return
    case .sendsWholeFile: (range, code) = (0..<content.count, 200)
    case .shiftsRange(let distance):
      range =
        min(
          range.lowerBound + distance, content.count)..<min(
          range.upperBound + distance, content.count)
    default: break
    }
    if code == 206 {
      headers["Content-Range"] =
        "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(content.count)"
    }
    var body = Array(content[range])
    var announced = body.count
    var closes = false
    switch fault {
    case .corrupts: if !body.isEmpty { body[0] ^= 0x10 }
    case .misstatesLength(let difference):
      announced += difference
      closes = true
    case .closes(let count):
      body = Array(body.prefix(count))
      closes = true
    default: break
    }
    headers["Content-Length"] = "\(announced)"
    let count = body.count
    state.value.withLock { $0.sentBytes += count }
    if case .dawdles(let bytes, let milliseconds)? = fault {
      write(head: code, headers, context)
      dawdle(body[...], bytes, milliseconds, context)
    } else {
      send(context, code, headers, body, closes: closes)
    }
  }

  private func dawdle(
    _ rest: ArraySlice<UInt8>, _ bytes: Int, _ milliseconds: Int, _ context: ChannelHandlerContext
  ) {
    guard context.channel.isActive else { return }
    write(body: rest.prefix(bytes), context)
    context.flush()
    let left = rest.dropFirst(bytes)
    guard !left.isEmpty else {
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      return
    }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: .milliseconds(Int64(milliseconds))) {
      bound.value.0.dawdle(left, bytes, milliseconds, bound.value.1)
    }
  }

  private func send(
    _ context: ChannelHandlerContext, _ code: Int, _ headers: [String: String], _ body: [UInt8],
    closes: Bool = false
  ) {
    var headers = headers
    if headers["Content-Length"] == nil { headers["Content-Length"] = "\(body.count)" }
    write(head: code, headers, context)
    write(body: body[...], context)
    if closes {
      // What was written goes out first, and then nothing more.
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer())))).whenComplete { _ in
        bound.value.close(promise: nil)
      }
    } else {
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
  }

  private func write(head code: Int, _ headers: [String: String], _ context: ChannelHandlerContext)
  {
    let head = HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: code),
      headers: HTTPHeaders(headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))
    context.write(wrapOutboundOut(.head(head)), promise: nil)
  }

  private func write(body: ArraySlice<UInt8>, _ context: ChannelHandlerContext) {
    context.write(
      wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
  }

  private static func range(_ text: String?, _ size: Int) -> Range<Int>? {
    guard let text, text.hasPrefix("bytes=") else { return nil }
    let ends = text.dropFirst(6).split(separator: "-").compactMap { Int($0) }
    guard ends.count == 2, ends[0] < size else { return nil }
    return ends[0]..<min(ends[1] + 1, size)
  }

  private static func unescaped(_ part: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(part.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
