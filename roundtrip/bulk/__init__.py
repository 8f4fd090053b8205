"""Files that go up below every question: what they are made of, and what both ends say of them."""
