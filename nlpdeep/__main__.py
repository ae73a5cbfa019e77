"`python -m nlpdeep`: the same as the command `nlpdeep`."

from .cli import main

if __name__ == '__main__':
    main()
