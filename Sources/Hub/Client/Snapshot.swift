import NIOHTTP1
import Support

/// One file of a repository at one commit.
public struct RepositoryFile: Sendable, Equatable {
  /// What the bytes must hash to.
  public enum Identity: Sendable, Equatable {
    /// Large files: sha256 of the bytes.
    case sha256(String)
    /// Files kept in git itself: sha1 of `blob LENGTH`, a zero byte, and the bytes.
    case gitBlob(String)

    public var text: String {
      switch self {
      case .sha256(let digest): "sha256:" + digest
      case .gitBlob(let digest): "git:" + digest
      }
    }
  }

  public var path: String
  public var size: Int?
  public var identity: Identity?
}

/// A repository at one commit.
public struct Snapshot: Sendable {
  public var repository: String
  /// As it was asked for.
  public var revision: String
  public var commit: String
  public var files: [RepositoryFile]
}

extension HubClient {
  private static let documentLimitBytes = 64 << 20

  /// The repository's files at the commit that `revision` names now.
  public func snapshot(of repository: String, revision: String) async throws(Failure) -> Snapshot {
    let parts = repository.split(separator: "/").map(String.init)
    let address = endpoint.appending(["api", "models"] + parts + ["revision", revision])
    let (bytes, _) = try await document(
      WebAddress(origin: address.origin, target: address.target + "?blobs=true"),
      about: HubError.Subject(
        endpoint: options.endpoint, repository: repository, revision: revision),
      limitBytes: Self.documentLimitBytes)
    return try Snapshot(
      try JSONValue.parse(bytes, subject: address.shown), repository: repository,
      revision: revision, subject: address.shown)
  }

  /// Where a file's bytes are asked for.
  func address(of path: String, in snapshot: Snapshot) -> WebAddress {
    endpoint.appending(
      snapshot.repository.split(separator: "/").map(String.init) + ["resolve", snapshot.commit]
        + path.split(separator: "/").map(String.init))
  }

  func subject(_ path: String?, in snapshot: Snapshot) -> HubError.Subject {
    HubError.Subject(
      endpoint: options.endpoint, repository: snapshot.repository, revision: snapshot.revision,
      path: path)
  }

  /// Fills in what the hub's list left out, from the headers of a one-byte request.
  func completed(_ file: RepositoryFile, in snapshot: Snapshot) async throws(Failure)
    -> RepositoryFile
  {
    guard file.size == nil || file.identity == nil, file.size != 0 else { return file }
    let address = address(of: file.path, in: snapshot)
    let headers: [HTTPHeaders] = try await retrying(subject: address.shown) {
      let answer = try await self.get(address, range: 0..<1)
      // An empty file has no first byte.
      guard [200, 206, 416].contains(answer.status.code) else {
        throw HubError.status(
          answer.status, answer.headers, at: address, about: self.subject(file.path, in: snapshot),
          hasToken: self.options.token != nil)
      }
      return [answer.hubHeaders, answer.headers]
    }
    var known = file
    for headers in headers {
      if known.size == nil { known.size = Self.size(headers) }
      if known.identity == nil { known.identity = Self.identity(headers) }
    }
    guard known.size != nil else {
      throw Failure(.malformed, address.shown, "the hub does not tell how large this file is")
    }
    return known
  }

  private static func size(_ headers: HTTPHeaders) -> Int? {
    if let text = headers.first(name: "X-Linked-Size") { return Int(text).flatMap(positive) }
    if let range = headers.first(name: "Content-Range"), let slash = range.lastIndex(of: "/") {
      return Int(range[range.index(after: slash)...]).flatMap(positive)
    }
    return nil
  }

  private static func positive(_ number: Int) -> Int? { number >= 0 ? number : nil }

  private static func identity(_ headers: HTTPHeaders) -> RepositoryFile.Identity? {
    for name in ["X-Linked-ETag", "ETag"] {
      guard var text = headers.first(name: name) else { continue }
      if text.hasPrefix("W/") { text.removeFirst(2) }
      text = text.filter { $0 != "\"" }.lowercased()
      if Snapshot.isDigest(text, count: 64) { return .sha256(text) }
      if Snapshot.isDigest(text, count: 40) { return .gitBlob(text) }
    }
    return nil
  }
}

extension Snapshot {
  private static let fileLimit = 100_000

  init(_ json: JSONValue, repository: String, revision: String, subject: String) throws(Failure) {
    guard let commit = json["sha"]?.string?.lowercased(), Self.isDigest(commit, count: 40),
      let siblings = json["siblings"]?.array
    else {
      throw Failure(
        .malformed, subject, "the answer does not list a repository (no sha and siblings)",
        remedy: "Check HF_ENDPOINT: it has to name a Hugging Face-compatible hub")
    }
    guard siblings.count <= Self.fileLimit else {
      throw Failure(.malformed, subject, "\(siblings.count) files are too many for a model")
    }
    var files: [RepositoryFile] = []
    for entry in siblings {
      guard let path = entry["rfilename"]?.string ?? entry["path"]?.string else {
        throw Failure(.malformed, subject, "a file without a name")
      }
      try Self.check(path, subject: subject)
      let size = entry["size"]?.integer ?? entry["lfs"]?["size"]?.integer
      guard size.map({ $0 >= 0 && $0 < 1 << 50 }) ?? true else {
        throw Failure(.malformed, subject, at: path, "a size of \(size ?? 0) bytes makes no sense")
      }
      var identity: RepositoryFile.Identity?
      if let digest = entry["lfs"]?["sha256"]?.string ?? entry["lfs"]?["oid"]?.string,
        Self.isDigest(digest.lowercased(), count: 64)
      {
        identity = .sha256(digest.lowercased())
      } else if entry["lfs"]?.object == nil, let digest = entry["blobId"]?.string,
        Self.isDigest(digest.lowercased(), count: 40)
      {
        identity = .gitBlob(digest.lowercased())
      }
      files.append(RepositoryFile(path: path, size: size, identity: identity))
    }
    self.init(repository: repository, revision: revision, commit: commit, files: files)
  }

  static func isDigest(_ text: String, count: Int) -> Bool {
    text.utf8.count == count
      && text.utf8.allSatisfy {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
      }
  }

  /// A path becomes the name of a file on this disk: nothing may lead out of the directory.
  private static func check(_ path: String, subject: String) throws(Failure) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let isPlain = parts.allSatisfy {
      !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 200
    }
    guard isPlain, path.utf8.count <= 1000,
      path.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F && $0 != "\\" })
    else {
      let shown = String(
        path.unicodeScalars.prefix(80).map { $0.value < 0x20 ? "?" : Character($0) })
      throw Failure(
        .malformed, subject, "the repository lists a file named \"\(shown)\", which is not safe")
    }
  }
}
