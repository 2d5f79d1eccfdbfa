import Support
public enum ElementType: String, Sendable { case f32 }
public struct TensorDescription: Sendable, Equatable {
  public var name: String
  public var type: ElementType
  public var shape: [Int]
  public var file: Int
  public var offset: Int
  public var byteCount: Int
}
public final class Checkpoint: Sendable {
  public enum Kind: String, Sendable { case huggingFace, gguf }
}
