extension Text {
  var uppercased: Text { mapped { $0.properties.uppercaseMapping } }

  var lowercased: Text {
    if isASCII { return mapped { $0.properties.lowercaseMapping } }
    var result: [Scalar] = []
    result.reserveCapacity(count)
    for at in scalars.indices { appendLowercase(at, to: &result) }
    return Text(result, isSafe: isSafe)
  }

  var casefolded: Text {
    // Full folding differs from lower case in what upper case expands (ß, ﬁ) and in a few letters
    // that only have an upper form; going up and down again covers both.
    var result: [Scalar] = []
    for scalar in scalars {
      let upper = scalar.properties.uppercaseMapping
      if upper.unicodeScalars.count > 1 || scalar == "ς" || scalar == "ſ" || scalar == "µ" {
        for part in upper.unicodeScalars {
          result.append(contentsOf: part.properties.lowercaseMapping.unicodeScalars)
        }
      } else {
        result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
      }
    }
    return Text(result, isSafe: isSafe)
  }

  /// `str.capitalize`.
  var capitalized: Text {
    guard let first = scalars.first else { return self }
    var result = Array(first.properties.titlecaseMapping.unicodeScalars)
    for at in scalars.indices.dropFirst() { appendLowercase(at, to: &result) }
    return Text(result, isSafe: isSafe)
  }

  /// `str.title`: a letter behind anything but a letter goes up, all others down.
  var titlecased: Text {
    var result: [Scalar] = []
    result.reserveCapacity(count)
    var isInWord = false
    for (at, scalar) in scalars.enumerated() {
      if isInWord {
        appendLowercase(at, to: &result)
      } else {
        result.append(contentsOf: scalar.properties.titlecaseMapping.unicodeScalars)
      }
      isInWord = scalar.properties.isCased
    }
    return Text(result, isSafe: isSafe)
  }

  var swappedCase: Text {
    var result: [Scalar] = []
    for (at, scalar) in scalars.enumerated() {
      if scalar.properties.isUppercase {
        appendLowercase(at, to: &result)
      } else if scalar.properties.isLowercase {
        result.append(contentsOf: scalar.properties.uppercaseMapping.unicodeScalars)
      } else {
        result.append(scalar)
      }
    }
    return Text(result, isSafe: isSafe)
  }

  /// `str.isupper`: some cased character, and no lower-case one.
  var isUpper: Bool {
    var found = false
    for scalar in scalars {
      if scalar.properties.isLowercase || scalar.properties.generalCategory == .titlecaseLetter {
        return false
      }
      found = found || scalar.properties.isUppercase
    }
    return found
  }

  var isLower: Bool {
    var found = false
    for scalar in scalars {
      if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter {
        return false
      }
      found = found || scalar.properties.isLowercase
    }
    return found
  }

  /// `str.istitle`.
  var isTitle: Bool {
    var found = false
    var isInWord = false
    for scalar in scalars {
      if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter {
        if isInWord { return false }
        isInWord = true
        found = true
      } else if scalar.properties.isLowercase {
        if !isInWord { return false }
        found = true
      } else {
        isInWord = false
      }
    }
    return found
  }

  var isASCII: Bool { scalars.allSatisfy { $0.value < 0x80 } }

  private func mapped(_ change: (Scalar) -> String) -> Text {
    var result: [Scalar] = []
    result.reserveCapacity(count)
    for scalar in scalars { result.append(contentsOf: change(scalar).unicodeScalars) }
    return Text(result, isSafe: isSafe)
  }

  private func appendLowercase(_ at: Int, to result: inout [Scalar]) {
    if scalars[at] == "Σ" {
      result.append(isFinalSigma(at) ? "ς" : "σ")
    } else {
      result.append(contentsOf: scalars[at].properties.lowercaseMapping.unicodeScalars)
    }
  }

  /// A sigma is final when a cased letter stands before it and none behind, whatever may be
  /// ignored in between.
  private func isFinalSigma(_ at: Int) -> Bool {
    let before = scalars[..<at].last { !$0.properties.isCaseIgnorable }
    let after = scalars[(at + 1)...].first { !$0.properties.isCaseIgnorable }
    return before?.properties.isCased == true && after?.properties.isCased != true
  }
}
