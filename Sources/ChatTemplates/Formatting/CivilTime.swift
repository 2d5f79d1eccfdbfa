import Glibc

/// A date and time of day without a time zone: what `strftime_now` tells a template.
public struct CivilTime: Sendable, Equatable {
  public var year: Int
  public var month: Int
  public var day: Int
  public var hour: Int
  public var minute: Int
  public var second: Int

  /// Reads `2026-01-05T09:07:03`; the time may be absent, a fraction or zone is left out.
  public init?(_ text: String) {
    func numbers(_ part: Substring, _ separator: Character, _ count: Int) -> [Int]? {
      let parts = part.split(separator: separator, omittingEmptySubsequences: false)
      let values = parts.compactMap { part in
        part.allSatisfy { $0.isASCII && $0.isNumber } ? Int(part) : nil
      }
      return values.count == count && parts.count == count ? values : nil
    }
    let halves = text.split(maxSplits: 1) { $0 == "T" || $0 == " " }
    guard let first = halves.first, let date = numbers(first, "-", 3) else { return nil }
    var time = [0, 0, 0]
    if halves.count == 2 {
      let clock = halves[1].prefix { $0 == ":" || $0.isASCII && $0.isNumber }
      guard let read = numbers(clock, ":", 3) ?? numbers(clock, ":", 2).map({ $0 + [0] }) else {
        return nil
      }
      time = read
    }
    guard (1...9999).contains(date[0]), (1...12).contains(date[1]), (1...31).contains(date[2]),
      time[0] < 24, time[1] < 60, time[2] < 60
    else { return nil }
    (year, month, day) = (date[0], date[1], date[2])
    (hour, minute, second) = (time[0], time[1], time[2])
  }

  private init(_ parts: tm) {
    (year, month, day) = (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday))
    (hour, minute, second) = (Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec))
  }

  /// This machine's time where it is.
  public static func now() -> CivilTime {
    var seconds = time(nil)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return CivilTime(parts)
  }

  /// `strftime` in the C locale, with Python's `%f`; there is no zone to name.
  func formatted(_ format: String) throws(Problem) -> String {
    var parts = tm()
    parts.tm_year = Int32(year - 1900)
    parts.tm_mon = Int32(month - 1)
    parts.tm_mday = Int32(day)
    parts.tm_hour = Int32(hour)
    parts.tm_min = Int32(minute)
    parts.tm_sec = Int32(second)
    // Fills in the days of week and year.
    timegm(&parts)
    parts.tm_isdst = -1
    let known = try Self.prepared(format)
    // A mark behind tells an empty result from one that did not fit.
    var buffer = [CChar](repeating: 0, count: 8192)
    let length = strftime(&buffer, buffer.count, known + ".", &parts)
    guard length > 0 else {
      throw Problem(.limit, "strftime_now: more than \(buffer.count) bytes")
    }
    return String(
      decoding: buffer.prefix(length - 1).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Replaces what Python adds and what asks for a zone.
  private static func prepared(_ format: String) throws(Problem) -> String {
    var result = ""
    var isEscape = false
    for character in format.unicodeScalars {
      if isEscape {
        isEscape = false
        switch character {
        case "f": result += "000000"
        case "z", "Z": break
        case "\0": throw .value("strftime_now: embedded null character")
        default:
          result += "%"
          result.unicodeScalars.append(character)
        }
      } else if character == "%" {
        isEscape = true
      } else if character == "\0" {
        throw .value("strftime_now: embedded null character")
      } else {
        result.unicodeScalars.append(character)
      }
    }
    return isEscape ? result + "%%" : result
  }
}
