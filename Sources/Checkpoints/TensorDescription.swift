/// What a checkpoint says about one tensor, checked against the file that holds it.
public struct TensorDescription: Sendable, Equatable {
  public let name: String
  public let type: ElementType
  /// Outermost dimension first, as PyTorch prints it: `[rows, columns]`.  Empty for a scalar.
  public let shape: [Int]
  /// The weight file, an index into `Checkpoint.files`.
  public let file: Int
  /// Where the tensor starts, in bytes from the start of its file.
  public let offset: Int
  public let byteCount: Int

  public init(
    name: String, type: ElementType, shape: [Int], file: Int, offset: Int, byteCount: Int
  ) {
    self.name = name
    self.type = type
    self.shape = shape
    self.file = file
    self.offset = offset
    self.byteCount = byteCount
  }

  /// The product of the shape; 1 for a scalar.  The readers checked that it does not overflow.
  public var elementCount: Int { shape.reduce(1, *) }
}
