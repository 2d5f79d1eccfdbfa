print("flashmoe")
