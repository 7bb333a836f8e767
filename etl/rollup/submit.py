"""What ``spark-submit`` starts: the command line, with the same words as ``bedrock-usage``."""

from etl.__main__ import main

if __name__ == "__main__":
    main()
