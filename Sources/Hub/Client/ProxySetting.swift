import AsyncHTTPClient

/// The proxy that other download tools would use: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`.
enum ProxySetting {
  static func fromEnvironment(for address: WebAddress) -> HTTPClient.Configuration.Proxy? {
    func value(_ name: String) -> String? {
      Environment.value(name.lowercased()) ?? Environment.value(name)
    }
    let host = address.origin.host
    // A proxy elsewhere cannot reach this machine's own servers.
    if host == "localhost" || host.hasPrefix("127.") || host == "[::1]" { return nil }
    if isExcluded(host, by: value("NO_PROXY") ?? "") { return nil }
    let names =
      address.origin.isSecure ? ["HTTPS_PROXY", "ALL_PROXY"] : ["HTTP_PROXY", "ALL_PROXY"]
    for name in names {
      guard let text = value(name),
        let proxy = WebAddress(text.contains("://") ? text : "http://" + text)
      else { continue }
      return .server(host: proxy.origin.host, port: proxy.origin.port)
    }
    return nil
  }

  /// `NO_PROXY` lists hosts and domains; `*` means all.
  static func isExcluded(_ host: String, by list: String) -> Bool {
    for entry in list.split(separator: ",") {
      var name = entry.filter { $0 != " " }.lowercased()
      if name == "*" { return true }
      if name.hasPrefix(".") { name.removeFirst() }
      if !name.isEmpty, host == name || host.hasSuffix("." + name) { return true }
    }
    return false
  }
}
