import Support
import Testing

@Suite struct ByteCountTests {
  @Test(arguments: [
    ("6GB", 6_000_000_000), ("6GiB", 6 << 30), ("6 gib", 6 << 30), (" 512MB ", 512_000_000),
    ("1.5GB", 1_500_000_000), ("0.5KiB", 512), ("1k", 1000), ("2T", 2_000_000_000_000), ("0", 0),
    ("12B", 12), ("20_000_000", 20_000_000), ("9223372036854775807", Int.max), ("3m", 3_000_000),
    ("1TiB", 1 << 40),
  ])
  func parses(text: String, bytes: Int) {
    #expect(ByteCount.parse(text) == bytes)
  }

  @Test(arguments: [
    "", " ", "GB", "-1GB", "+1GB", "1e3", "0x10", "6XB", "6GBB", "1.2.3GB", ".5GB", "5.GB", "1,5GB",
    "1 2GB", "1.5", "1.5B", "_5GB", "5_GB", "9223372036854775808", "10000000TB", "9300000000GB",
    "inf",
    "nan", "٣GB", "1²GB", "99999999999999999999999TiB", "6 G B",
  ])
  func refuses(text: String) {
    #expect(ByteCount.parse(text) == nil)
  }

  @Test(arguments: [
    (0, "0 B"), (999, "999 B"), (1000, "1.00 KB"), (952_000, "952 KB"), (999_499, "999 KB"),
    (999_500, "1.00 MB"), (17_200_000_000, "17.2 GB"), (1_770_000, "1.77 MB"),
    (-2_650_000, "-2.65 MB"),
    (9_994_000, "9.99 MB"), (9_995_001, "10.0 MB"), (43_500_000_000_000, "43.5 TB"),
    (Int.max, "9223372 TB"), (Int.min, "-9223372 TB"),
  ])
  func formats(bytes: Int, text: String) {
    #expect(ByteCount.format(bytes) == text)
  }

  @Test(arguments: [
    (0.0, 2, "0.00"), (1.005, 0, "1"), (-0.004, 2, "0.00"), (-0.006, 2, "-0.01"),
    (0.0625, 4, "0.0625"),
    (1.999, 2, "2.00"), (99.999, 2, "100.00"), (123_456.75, 1, "123456.8"), (0.05, 2, "0.05"),
    (8_999_999_999_999_999, 2, "8999999999999999.00"), (8.1e15, 3, "8100000000000000.000"),
    (.infinity, 2, "inf"), (.nan, 2, "nan"),
  ])
  func fixes(value: Double, digits: Int, text: String) {
    #expect(ByteCount.fixed(value, digits: digits) == text)
  }

  @Test func everyFormattedSizeHasThreeFigures() {
    var bytes = 1000
    while bytes < 1_000_000_000_000_000 {
      let figures = ByteCount.format(bytes).filter(\.isNumber).count
      #expect(figures == 3, "\(bytes): \(ByteCount.format(bytes))")
      bytes = bytes * 101 / 100 + 1
      if bytes >= 999_500_000_000_000 { break }
    }
  }
}
