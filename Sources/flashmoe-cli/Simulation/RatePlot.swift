import Support

/// Hit rate against cache size, as a drawing that needs nothing else.
struct RatePlot {
  private static let (width, height) = (760.0, 460.0)
  private static let (left, right, top, bottom) = (60.0, 150.0, 30.0, 50.0)
  /// Colours that people with colour blindness can tell apart (Okabe and Ito, 2008).
  private static let colours = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d1f", "#000000",
  ]

  private struct Series {
    var name: String
    var colour: String
    var isDashed: Bool
    /// Share of all records cached, and hit rate; both from 0 to 1.
    var points: [(size: Double, rate: Double)]
  }

  private let series: [Series]
  private let title: String
  private let largest: Double

  init(_ simulation: Simulation) {
    let records = Double(max(1, simulation.recordCount))
    var series: [Series] = []
    for (at, policy) in simulation.policies.enumerated() {
      for prediction in simulation.predictions {
        // The bound is the same with and without.
        if policy == .belady, prediction != simulation.predictions.first { continue }
        let entries = simulation.cases.filter {
          $0.policy == policy && $0.prediction == prediction
        }
        let suffix = simulation.predictions.count > 1 && prediction ? ", predicting" : ""
        series.append(
          Series(
            name: policy.name + suffix, colour: Self.colours[at % Self.colours.count],
            isDashed: prediction && simulation.predictions.count > 1,
            points: entries.map { (Double($0.slots) / records, $0.outcome.hitRate) }))
      }
    }
    self.series = series
    title = simulation.traces.first.map { "\($0.model): hit rate by cache size" } ?? ""
    largest = max(0.05, series.flatMap(\.points).map(\.size).max() ?? 1)
  }

  private func x(_ size: Double) -> String {
    number(Self.left + size / largest * (Self.width - Self.left - Self.right))
  }

  private func y(_ rate: Double) -> String {
    number(Self.height - Self.bottom - rate * (Self.height - Self.top - Self.bottom))
  }

  private func number(_ value: Double) -> String { ByteCount.fixed(value, digits: 1) }

  private func text(_ x: String, _ y: String, _ anchor: String, _ words: String) -> String {
    "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\">\(Self.escaped(words))</text>"
  }

  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for character in text {
      switch character {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      default: escaped.append(character)
      }
    }
    return escaped
  }

  var svg: String {
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(Self.width)) "
        + "\(Int(Self.height))\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
      text(number(Self.left), "18", "start", title),
    ]
    lines += grid
    for (at, line) in series.enumerated() { lines += drawing(line, at: at) }
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  private var grid: [String] {
    var lines: [String] = []
    let (start, end) = (x(0), x(largest))
    for step in 0...5 {
      let height = y(Double(step) / 5)
      lines.append(
        "<line x1=\"\(start)\" x2=\"\(end)\" y1=\"\(height)\" y2=\"\(height)\" stroke=\"#ddd\"/>")
      lines.append(text(number(Self.left - 8), height, "end", "\(20 * step) %"))
      let size = largest * Double(step) / 5
      lines.append(
        text(
          x(size), number(Self.height - Self.bottom + 18), "middle",
          ByteCount.fixed(100 * size, digits: 0) + " %"))
    }
    lines.append(
      text(
        x(largest / 2), number(Self.height - 12), "middle", "cache, share of all experts"))
    return lines
  }

  private func drawing(_ line: Series, at index: Int) -> [String] {
    let path = line.points.map { "\(x($0.size)),\(y($0.rate))" }.joined(separator: " ")
    let dash = line.isDashed ? " stroke-dasharray=\"5 3\"" : ""
    let height = Self.top + 18 * Double(index) + 10
    let key = Self.width - Self.right + 12
    var lines = [
      "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(line.colour)\" "
        + "stroke-width=\"1.8\"\(dash)/>"
    ]
    for point in line.points {
      lines.append(
        "<circle cx=\"\(x(point.size))\" cy=\"\(y(point.rate))\" r=\"2.4\" "
          + "fill=\"\(line.colour)\"/>")
    }
    lines.append(
      "<line x1=\"\(number(key))\" x2=\"\(number(key + 22))\" y1=\"\(number(height))\" "
        + "y2=\"\(number(height))\" stroke=\"\(line.colour)\" stroke-width=\"1.8\"\(dash)/>")
    lines.append(text(number(key + 28), number(height + 4), "start", line.name))
    return lines
  }

  /// A page around a drawing.
  static func page(_ drawing: String, title: String) -> String {
    """
    <!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <title>\(escaped(title))</title>
    <body style="max-width: 60em; margin: 2em auto; font-family: sans-serif">
    <p>\(escaped(title))</p>
    \(drawing)</body>
    </html>

    """
  }
}
